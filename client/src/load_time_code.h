// Whether code of a library's author runs while it is being loaded. Pure. Everything that the compiler adds
// by itself to every library does not count; it is the same in all of them, and never the reason for
// anything.
#pragma once

#include "protocol/elf_file.h"

namespace moddev {

/// Looks at DT_INIT and DT_INIT_ARRAY (ELF gABI, "Initialization and Termination Functions"). A library that
/// is linked in the usual way has the _init of glibc's crti.o, which calls __gmon_start__ if there is one,
/// and one entry for GCC's frame_dummy (crtbeginS.o). Anything beyond is the author's: constructors of static
/// objects (those of <iostream>, too, in GCC before 13), __attribute__((constructor)), -Wl,-init. In doubt:
/// true.
[[nodiscard]] bool has_own_initialisers(const elf::File& file, const elf::DynamicTables& dynamic);

}  // namespace moddev
