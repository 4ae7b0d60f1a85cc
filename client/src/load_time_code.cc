#include "client/src/load_time_code.h"

#include <elf.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace moddev {
namespace {

constexpr int kAny = -1;  // a byte of an address

/// glibc's sysdeps/x86_64/crti.S and crtn.S; built with -fcf-protection it begins with endbr64.
constexpr std::array<int, 23> kInitOfX86{0x48, 0x83, 0xec, 0x08,                    // sub $8,%rsp
                                         0x48, 0x8b, 0x05, kAny, kAny, kAny, kAny,  // mov gmon(%rip),%rax
                                         0x48, 0x85, 0xc0,                          // test %rax,%rax
                                         0x74, 0x02,                                // je
                                         0xff, 0xd0,                                // call *%rax
                                         0x48, 0x83, 0xc4, 0x08,                    // add $8,%rsp
                                         0xc3};                                     // ret
constexpr std::array<int, 4> kEndBranch{0xf3, 0x0f, 0x1e, 0xfa};

template <std::size_t Size>
bool has_bytes(const elf::File& file, std::uint64_t address, const std::array<int, Size>& wanted) {
  const auto at = file.offset_of(address, Size);
  if (!at) return false;
  for (std::size_t i = 0; i < Size; ++i) {
    if (wanted[i] != kAny && std::to_integer<int>(file.bytes()[*at + i]) != wanted[i]) return false;
  }
  return true;
}

/// On other machines than x86-64 nobody has told us how it looks: then there is doubt.
bool is_the_usual_init(const elf::File& file, std::uint64_t address) {
  if (file.machine() != EM_X86_64) return false;
  if (has_bytes(file, address, kEndBranch)) address += kEndBranch.size();
  return has_bytes(file, address, kInitOfX86);
}

}  // namespace

bool has_own_initialisers(const elf::File& file, const elf::DynamicTables& dynamic) {
  const std::uint64_t entries = dynamic.find(DT_INIT_ARRAYSZ).value_or(0) / sizeof(Elf64_Addr);
  const auto init = dynamic.find(DT_INIT);
  // Without _init none of the compiler's own files was linked in, frame_dummy's neither.
  if (!init) return entries > 0;
  return entries > 1 || !is_the_usual_init(file, *init);
}

}  // namespace moddev
