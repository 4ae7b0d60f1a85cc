// Library files. A name slot must lie inside the file and hold the name that it tells.
#include <cstdlib>
#include <cstring>

#include "protocol/elf_image.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moddev;
  const auto file = std::as_bytes(std::span(data, size));
  const bool complete = check_elf_complete(file).ok();
  const auto image = read_elf(file);
  if (image.ok() && !complete) std::abort();
  const auto slots = elf_name_slots(file);
  if (!slots.ok()) return 0;
  for (const auto& slot : *slots) {
    if (slot.file_offset > size || slot.name.size() >= size - slot.file_offset) std::abort();
    if (std::memcmp(data + slot.file_offset, slot.name.c_str(), slot.name.size() + 1) != 0) std::abort();
  }
  return 0;
}
