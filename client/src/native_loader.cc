#include "client/src/native_loader.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "protocol/text.h"

namespace moddev {
namespace {

constexpr std::size_t kNamesInMessage = 8;

#if defined(__aarch64__)
constexpr std::uint32_t kDataSlot = R_AARCH64_GLOB_DAT;
constexpr std::uint32_t kCallSlot = R_AARCH64_JUMP_SLOT;
#else
constexpr std::uint32_t kDataSlot = R_X86_64_GLOB_DAT;
constexpr std::uint32_t kCallSlot = R_X86_64_JUMP_SLOT;
#endif

bool is_symbol_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         c == '.';
}

/// Where the loader wrote the addresses of symbols for this library: its global offset table, as far as
/// symbols of other libraries can be in it. The slots are read-only after relocation, or are written by
/// nobody.
struct Binding {
  std::uintptr_t address = 0;
  const char* symbol = nullptr;
};

std::vector<Binding> bindings_of(std::uintptr_t load_address, const void* dynamic) {
  const auto absolute = [&](std::uintptr_t value) {
    return value >= load_address ? value : value + load_address;
  };
  const Elf64_Sym* symbols = nullptr;
  const char* strings = nullptr;
  std::uintptr_t tables[2] = {0, 0};
  std::size_t sizes[2] = {0, 0};
  for (const auto* entry = static_cast<const Elf64_Dyn*>(dynamic); entry->d_tag != DT_NULL; ++entry) {
    const std::uintptr_t value = entry->d_un.d_ptr;
    if (entry->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const Elf64_Sym*>(absolute(value));
    if (entry->d_tag == DT_STRTAB) strings = reinterpret_cast<const char*>(absolute(value));
    if (entry->d_tag == DT_RELA) tables[0] = absolute(value);
    if (entry->d_tag == DT_RELASZ) sizes[0] = value;
    if (entry->d_tag == DT_JMPREL) tables[1] = absolute(value);
    if (entry->d_tag == DT_PLTRELSZ) sizes[1] = value;
  }
  std::vector<Binding> bindings;
  if (symbols == nullptr || strings == nullptr) return bindings;
  for (int t = 0; t < 2; ++t) {
    const auto* relocation = reinterpret_cast<const Elf64_Rela*>(tables[t]);
    for (std::size_t i = 0; i < sizes[t] / sizeof(Elf64_Rela); ++i, ++relocation) {
      const auto type = static_cast<std::uint32_t>(ELF64_R_TYPE(relocation->r_info));
      if (type != kDataSlot && type != kCallSlot) continue;
      std::uintptr_t address = 0;
      std::memcpy(&address, reinterpret_cast<const void*>(load_address + relocation->r_offset),
                  sizeof address);
      bindings.push_back({address, strings + symbols[ELF64_R_SYM(relocation->r_info)].st_name});
    }
  }
  return bindings;
}

}  // namespace

std::string explain_loader_message(std::string_view message,
                                   const std::map<std::string, std::string, std::less<>>& names) {
  std::string text(message);
  for (const auto& [path, name] : names) {
    for (std::size_t at = text.find(path); at != std::string::npos; at = text.find(path, at)) {
      // "our/path: undefined symbol: x": whoever shows the message says the module's name itself.
      const bool first = at == 0 && text.compare(path.size(), 2, ": ") == 0;
      const std::string replacement = first ? "" : "module '" + name + "'";
      text.replace(at, path.size() + (first ? 2 : 0), replacement);
      at += replacement.size();
    }
  }
  for (std::size_t at = text.find("_Z"); at != std::string::npos; at = text.find("_Z", at)) {
    std::size_t end = at;
    while (end < text.size() && is_symbol_character(text[end])) ++end;
    const std::string plain = demangle(text.substr(at, end - at));
    if (!plain.empty()) text.insert(end, " (" + plain + ")");
    at = end + (plain.empty() ? 0 : plain.size() + 3);
  }
  return text;
}

NativeModule::NativeModule(NativeFacts facts, HeldImage image, std::shared_ptr<NativeImages> images)
    : facts_(std::move(facts)), images_(std::move(images)), image_(std::move(image)) {}

Result<std::shared_ptr<NativeModule>> NativeModule::load(
    NativeFacts facts, HeldImage image, std::shared_ptr<NativeImages> images,
    const std::set<std::string, std::less<>>& epoch_paths,
    const std::map<std::string, std::string, std::less<>>& names) {
  std::shared_ptr<NativeModule> module(
      new NativeModule(std::move(facts), std::move(image), std::move(images)));
  MODDEV_TRY(module->open(names));
  MODDEV_TRY(module->prove_identity());
  MODDEV_TRY(module->prove_bindings(epoch_paths));
  return module;
}

Status NativeModule::open(const std::map<std::string, std::string, std::less<>>& names) {
  handle_ = ::dlopen(path().c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ == nullptr) {
    const char* reason = ::dlerror();
    return Error{
        ErrorCode::kRefused,
        explain_loader_message(reason == nullptr ? "the dynamic loader gave no reason" : reason, names), 0};
  }
  link_map* map = nullptr;
  ::dlinfo(handle_, RTLD_DI_LINKMAP, &map);
  if (map == nullptr) return Error{ErrorCode::kInternal, "the dynamic loader does not tell where it is", 0};
  load_address_ = map->l_addr;
  dynamic_ = map->l_ld;
  symbols_ = SymbolTable(load_address_, dynamic_);
  hooks_ = ModuleHooks(symbols_);
  if (path() != map->l_name) {
    return Error{ErrorCode::kRefused,
                 "the dynamic loader handed out another file, '" + std::string(map->l_name) +
                     "', in place of the new version",
                 0};
  }
  MappedImages::of_process().add(
      {path(), facts_.name, facts_.version, load_address_, load_address_ + facts_.mapped_bytes});
  return {};
}

Status NativeModule::prove_identity() const {
  if (facts_.build_id.empty()) return {};
  const auto* mapped = reinterpret_cast<const std::byte*>(load_address_ + facts_.build_id_address);
  if (std::memcmp(mapped, facts_.build_id.data(), facts_.build_id.size()) == 0) return {};
  return Error{ErrorCode::kRefused, "what is mapped does not have the build-id of the file that was loaded",
               0};
}

Status NativeModule::prove_bindings(const std::set<std::string, std::less<>>& epoch_paths) const {
  const std::vector<Binding> bindings = bindings_of(load_address_, dynamic_);
  std::vector<std::uintptr_t> addresses;
  addresses.reserve(bindings.size());
  for (const Binding& binding : bindings) addresses.push_back(binding.address);
  auto stranger = MappedImages::of_process().first_stranger(addresses, epoch_paths);
  if (!stranger) return {};
  // Perhaps it was unloaded, and something else is in its place now.
  images_->settle();
  stranger = MappedImages::of_process().first_stranger(addresses, epoch_paths);
  if (!stranger) return {};
  const std::string symbol = bindings[stranger->index].symbol;
  const std::string plain = demangle(symbol);
  return Error{
      ErrorCode::kRefused,
      "symbol " + symbol + (plain.empty() ? "" : " (" + plain + ")") + " would be that of version " +
          std::to_string(stranger->image.version) + " of module '" + stranger->image.module +
          "', which is not of this epoch; something made that version's symbols visible to the whole "
          "process (dlopen with RTLD_GLOBAL?)",
      0};
}

Status NativeModule::start(const NativeModule* former) {
  if (former != nullptr && hooks_.restores() && former->hooks_.saves()) {
    const auto state = former->hooks_.save();
    const std::string whose = "the state of version " + std::to_string(former->facts_.version) +
                              " cannot be handed over to version " + std::to_string(facts_.version);
    if (!state) return state.error().with_context(whose);
    if (Status taken = hooks_.restore(*state); !taken) return taken.error().with_context(whose);
  }
  MODDEV_TRY(hooks_.start());
  started_ = true;
  return {};
}

NativeModule::~NativeModule() {
  if (handle_ == nullptr) return;
  if (started_ && hooks_.has_stop()) {
    images_->stop_and_retire([hooks = hooks_] { hooks.stop(); },
                             "version " + std::to_string(facts_.version) + " of module '" + facts_.name + "'",
                             handle_, *std::move(image_), facts_.mapped_bytes);
    return;
  }
  // Unmapping code that a thread of the module is in would end the process: it stays.
  const bool close = !facts_.starts_threads;
  if (close) ::dlclose(handle_);
  images_->retire(*std::move(image_), facts_.mapped_bytes, close);
}

Result<void*> NativeModule::symbol(std::string_view name) const {
  const SymbolTable::Found found = symbols_.find(name);
  if (found.kind == SymbolTable::Kind::kAddress) return found.address;
  if (found.kind == SymbolTable::Kind::kAskLoader) {
    if (void* address = ::dlsym(handle_, std::string(name).c_str())) return address;
  }
  std::string text = "it exports no symbol '" + std::string(name) + "'";
  const auto names = symbols_.names(kNamesInMessage + 1);
  if (names.empty()) {
    text += " and no other; mark what is to be called with extern \"C\" and default visibility";
  } else {
    for (std::size_t i = 0; i < std::min(names.size(), kNamesInMessage); ++i) {
      text += (i == 0 ? "; it has " : ", ") + names[i];
    }
    if (names.size() > kNamesInMessage) text += " and more";
  }
  return Error{ErrorCode::kNotFound, std::move(text), 0};
}

Result<Bytes> NativeModule::read_artifact() const {
  const int file = ::open(path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return errno_error("cannot open the private copy '" + path() + "'", errno);
  Bytes bytes(facts_.restoration.artifact_size);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(file, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  ::close(file);
  bytes.resize(done);
  if (!facts_.restoration.apply(bytes) || digest_of(bytes) != facts_.digest) {
    return Error{ErrorCode::kCorrupt, "the private copy '" + path() + "' was damaged", 0};
  }
  return bytes;
}

Result<std::span<const std::byte>> NativeModule::bytes() const {
  const std::lock_guard lock(artifact_mutex_);
  if (!artifact_) {
    auto bytes = read_artifact();
    if (!bytes) return bytes.error();
    artifact_ = *std::move(bytes);
  }
  return std::span<const std::byte>(*artifact_);
}

std::uint64_t NativeModule::retired_bytes() const {
  const bool stays =
      facts_.nodelete || facts_.has_thread_local_destructors || (facts_.starts_threads && !hooks_.has_stop());
  return stays ? facts_.mapped_bytes : 0;
}

}  // namespace moddev
