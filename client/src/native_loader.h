// One native module: loads its private copy through the dynamic loader, proves that what is mapped is what
// was meant, and unloads it. Runs the module's own initialisers, so only the loader's thread comes here.
// Which modules are loaded, and in which order, is transaction.h's business; what the private copy looks
// like, image_rewrite.h's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/src/image_rewrite.h"
#include "client/src/module_hooks.h"
#include "client/src/native_images.h"
#include "client/src/symbol_table.h"
#include "client/src/view.h"
#include "protocol/digest.h"
#include "protocol/manifest.h"
#include "protocol/result.h"

namespace moddev {

/// What the image's file cannot tell, or no longer needs to be asked.
struct NativeFacts {
  std::string name;
  Version version = 0;
  Digest digest;
  /// The name by which other modules need it: its soname, or its file's name.
  std::string provides;
  /// Empty for the ordinary image of its content; see transaction.h.
  std::string variant;
  /// STB_GNU_UNIQUE symbols that the artifact defines, sorted.
  std::vector<std::string> unique_symbols;
  Restoration restoration;
  std::vector<std::byte> build_id;
  std::uint64_t build_id_address = 0;
  std::uint64_t mapped_bytes = 0;
  bool nodelete = false;
  bool has_thread_local_destructors = false;
  bool starts_threads = false;
};

class NativeModule final : public LoadedModule {
 public:
  /// `image` has been written. `epoch_paths` are the images that symbols may be bound to: those of the same
  /// epoch. `names` turns paths into module names, for messages. Errors: kRefused, with the dynamic loader's
  /// own reason; nothing stays loaded.
  static Result<std::shared_ptr<NativeModule>> load(
      NativeFacts facts, HeldImage image, std::shared_ptr<NativeImages> images,
      const std::set<std::string, std::less<>>& epoch_paths,
      const std::map<std::string, std::string, std::less<>>& names);
  /// Stops the module and unloads it. With a stop hook that is done on a thread of its own: a hook may take
  /// its time, and the loader's thread has epochs to prepare.
  ~NativeModule() override;

  /// The last step of loading: offers the state of the version that was live, if there is one and both know
  /// how, and starts the module. Errors: kRefused with the hook's reason.
  Status start(const NativeModule* former);

  [[nodiscard]] Result<void*> symbol(std::string_view name) const override;
  [[nodiscard]] Result<std::span<const std::byte>> bytes() const override;
  [[nodiscard]] std::uint64_t retired_bytes() const override;

  [[nodiscard]] const NativeFacts& facts() const { return facts_; }
  [[nodiscard]] const std::string& path() const { return image_->path(); }

 private:
  NativeModule(NativeFacts facts, HeldImage image, std::shared_ptr<NativeImages> images);
  Status open(const std::map<std::string, std::string, std::less<>>& names);
  [[nodiscard]] Status prove_identity() const;
  [[nodiscard]] Status prove_bindings(const std::set<std::string, std::less<>>& epoch_paths) const;
  [[nodiscard]] Result<Bytes> read_artifact() const;

  NativeFacts facts_;
  std::shared_ptr<NativeImages> images_;
  std::optional<HeldImage> image_;
  void* handle_ = nullptr;
  std::uintptr_t load_address_ = 0;
  const void* dynamic_ = nullptr;
  SymbolTable symbols_;
  ModuleHooks hooks_;
  bool started_ = false;

  mutable std::mutex artifact_mutex_;
  mutable std::optional<Bytes> artifact_;
};

/// The dynamic loader's message for a person: without our private paths (`names` has the module of each), and
/// with C++ names as they were written, beside the mangled ones.
[[nodiscard]] std::string explain_loader_message(
    std::string_view message, const std::map<std::string, std::string, std::less<>>& names);

}  // namespace moddev
