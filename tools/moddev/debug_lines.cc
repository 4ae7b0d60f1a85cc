#include "tools/moddev/debug_lines.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

#include <cstdlib>
#include <span>
#include <utility>

#include "protocol/text.h"

namespace moddev::tools {
namespace {

std::string as_written(const char* name) {
  if (name == nullptr) return {};
  std::string plain = demangle(name);
  return plain.empty() ? name : plain;
}

bool is_function(Dwarf_Die& die) {
  const int tag = dwarf_tag(&die);
  return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_entry_point;
}

std::string function_name(Dwarf_Die& die) {
  for (const unsigned which : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name, DW_AT_name}) {
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(&die, which, &attribute) == nullptr) continue;
    if (const char* name = dwarf_formstring(&attribute)) return as_written(name);
  }
  return {};
}

int number(Dwarf_Die& die, unsigned which) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (dwarf_attr(&die, which, &attribute) == nullptr || dwarf_formudata(&attribute, &value) != 0) return 0;
  return static_cast<int>(value);
}

/// The scopes around `address`, innermost first; freed by the caller's span guard.
class Scopes {
 public:
  Scopes(Dwarf_Die& unit, Dwarf_Addr address) {
    Dwarf_Die* around = nullptr;
    if (dwarf_getscopes(&unit, address, &around) <= 0) return;
    // Those of the innermost one's own place: dwarf_getscopes() follows an inlined function to where it was
    // written, not to where it was inlined.
    Dwarf_Die innermost = around[0];
    std::free(around);
    count_ = dwarf_getscopes_die(&innermost, &dies_);
  }
  ~Scopes() { std::free(dies_); }
  Scopes(const Scopes&) = delete;
  Scopes& operator=(const Scopes&) = delete;
  [[nodiscard]] std::span<Dwarf_Die> dies() const {
    return {dies_, count_ > 0 ? static_cast<std::size_t>(count_) : 0};
  }

 private:
  Dwarf_Die* dies_ = nullptr;
  int count_ = 0;
};

/// Where `die` was inlined.
void set_call_site(SourceFrame& caller, Dwarf_Die& unit, Dwarf_Die& die) {
  caller.line = number(die, DW_AT_call_line);
  caller.column = number(die, DW_AT_call_column);
  Dwarf_Files* files = nullptr;
  if (dwarf_getsrcfiles(&unit, &files, nullptr) != 0) return;
  const char* name =
      dwarf_filesrc(files, static_cast<std::size_t>(number(die, DW_AT_call_file)), nullptr, nullptr);
  if (name != nullptr) caller.file = name;
}

}  // namespace

struct DebugFile::State {
  Dwfl* session = nullptr;
  Dwfl_Module* module = nullptr;
  char* debug_path = nullptr;
  Dwfl_Callbacks callbacks{};
  ~State() {
    if (session != nullptr) dwfl_end(session);
    std::free(debug_path);
  }
};

DebugFile::DebugFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
DebugFile::~DebugFile() = default;

Result<std::unique_ptr<DebugFile>> DebugFile::open(const std::string& path) {
  auto state = std::make_unique<State>();
  state->callbacks.find_elf = dwfl_build_id_find_elf;
  state->callbacks.find_debuginfo = dwfl_standard_find_debuginfo;
  state->callbacks.section_address = dwfl_offline_section_address;
  state->callbacks.debuginfo_path = &state->debug_path;
  state->session = dwfl_begin(&state->callbacks);
  if (state->session == nullptr) return Error{ErrorCode::kInternal, "libdw cannot be used", 0};
  dwfl_report_begin(state->session);
  // At the addresses that the file itself gives.
  state->module = dwfl_report_elf(state->session, path.c_str(), path.c_str(), -1, 0, true);
  if (state->module == nullptr) {
    return Error{ErrorCode::kUnsupported, "Cannot read " + path + ": " + dwfl_errmsg(-1) + ".", 0};
  }
  dwfl_report_end(state->session, nullptr, nullptr);
  return std::unique_ptr<DebugFile>(new DebugFile(std::move(state)));
}

bool DebugFile::has_debug_information() const {
  Dwarf_Addr bias = 0;
  return dwfl_module_getdwarf(state_->module, &bias) != nullptr;
}

std::vector<SourceFrame> DebugFile::frames_at(std::uint64_t address) const {
  std::vector<SourceFrame> frames;
  SourceFrame frame;
  if (Dwfl_Line* line = dwfl_module_getsrc(state_->module, address)) {
    const char* file = dwfl_lineinfo(line, nullptr, &frame.line, &frame.column, nullptr, nullptr);
    if (file != nullptr) frame.file = file;
  }
  Dwarf_Addr bias = 0;
  if (Dwarf_Die* unit = dwfl_module_addrdie(state_->module, address, &bias)) {
    const Scopes scopes(*unit, address - bias);
    for (Dwarf_Die& die : scopes.dies()) {
      if (!is_function(die)) continue;
      frame.function = function_name(die);
      frame.inlined = dwarf_tag(&die) == DW_TAG_inlined_subroutine;
      frames.push_back(frame);
      if (!frame.inlined) return frames;
      frame = {};
      set_call_site(frame, *unit, die);
    }
  }
  GElf_Off offset = 0;
  GElf_Sym symbol;
  const char* name =
      dwfl_module_addrinfo(state_->module, address, &offset, &symbol, nullptr, nullptr, nullptr);
  // Beyond the end of the nearest function there is none.
  if (name != nullptr && (offset < symbol.st_size || symbol.st_size == 0)) frame.function = as_written(name);
  if (!frame.function.empty() || !frame.file.empty()) {
    frame.inlined = false;
    frames.push_back(frame);
  }
  return frames;
}

std::optional<std::uint64_t> DebugFile::address_of(const std::string& symbol) const {
  const int count = dwfl_module_getsymtab(state_->module);
  for (int i = 0; i < count; ++i) {
    GElf_Sym found;
    GElf_Addr address = 0;
    const char* name =
        dwfl_module_getsym_info(state_->module, i, &found, &address, nullptr, nullptr, nullptr);
    if (name != nullptr && symbol == name && found.st_shndx != SHN_UNDEF) return address;
  }
  return std::nullopt;
}

}  // namespace moddev::tools
