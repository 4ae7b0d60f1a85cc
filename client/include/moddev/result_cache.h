// Results that outlive the code that computed them: kept under the digest of the code (the module and all
// that it depends on), the symbol and the arguments. Going back to old bytes finds the old results again, and
// a miss can be explained. In memory for one process, or in a SQLite file that several processes share. Its
// own library, moddev::results, so that moddev::client does not need SQLite.
//
// It does not compute, and it does not know whether a function is pure: only results that depend on nothing
// but code and arguments belong here.
//
//   auto cache = moddev::open_result_cache("/home/me/.cache/results.db");
//   moddev::Pin pin = client.pin();  // the key and the call are of one epoch
//   auto key = moddev::ResultKey::make(pin, "scorer", "score", moddev::bytes_of(arguments));
//   auto found = (*cache)->find(*key);
//   if (found && *found) use(**found);
//   else std::puts((*cache)->explain(*key)->message.c_str());  // why it has to be computed
#pragma once

#include <moddev/protocol/result.h>
#include <moddev/view.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moddev {

[[nodiscard]] inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// One module in the closure of another: its bytes in this epoch.
struct ClosurePart {
  std::string module;
  std::string digest;  // "sha256:..."
  friend bool operator==(const ClosurePart&, const ClosurePart&) = default;
};

/// What a result belongs to.
struct ResultKey {
  std::string module;
  std::string symbol;
  /// Of the module together with all that it depends on, directly or not: "sha256:...".
  std::string closure;
  /// Of the arguments' bytes.
  std::string arguments;
  /// What `closure` is made of, sorted by module; to explain a miss.
  std::vector<ClosurePart> parts;

  /// The key of a call in the pinned epoch. `arguments` must mean the same whenever they are equal: no
  /// addresses, no uninitialised padding. Errors: kNotFound (no such module), kInvalidArgument.
  static Result<ResultKey> make(const Pin& pin, std::string_view module, std::string_view symbol,
                                std::span<const std::byte> arguments);
};

/// A module of the closure whose bytes differ between the nearest known result and what was asked for.
struct ChangedPart {
  std::string module;
  std::string before;  // empty: it was not part of the closure
  std::string now;     // empty: it is none any more
  friend bool operator==(const ChangedPart&, const ChangedPart&) = default;
};

struct Miss {
  enum class Reason : std::uint8_t {
    kNone,            // it is no miss: the result is there
    kNeverSeen,       // nothing of this module's symbol was ever kept, or it was long ago
    kModuleChanged,   // these arguments, but other code: `changed` says which
    kOtherArguments,  // this symbol, but with other arguments
    kEvicted,         // it was there, and went to make room
  };
  Reason reason = Reason::kNeverSeen;
  /// Against the nearest entry; with kOtherArguments too, when its code is another one as well.
  std::vector<ChangedPart> changed;
  /// For a person.
  std::string message;
};
/// "none", "never_seen", "module_changed", "other_arguments", "evicted".
[[nodiscard]] std::string_view to_string(Miss::Reason reason);

/// The least recently used results go when one of these is reached. What went is remembered by its key, up to
/// `entries` of them, so that explain() can say so.
struct ResultCacheLimits {
  std::size_t entries = 100'000;
  std::uint64_t bytes = 256ULL * 1024 * 1024;  // of the results
};

struct ResultCacheStats {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::uint64_t remembered = 0;  // keys of evicted results
  // Of this object, not of other processes:
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t evictions = 0;
};

/// All methods may be called from any thread.
class ResultCache {
 public:
  using Value = std::vector<std::byte>;
  virtual ~ResultCache() = default;

  /// The result, or nothing. Errors: kIo, kCorrupt; a caller may go on as after a miss.
  [[nodiscard]] virtual Result<std::optional<Value>> find(const ResultKey& key) = 0;
  /// Keeps a result, in the place of a former one. Errors: kLimit (larger than the whole cache), kIo,
  /// kCorrupt.
  virtual Status store(const ResultKey& key, std::span<const std::byte> result) = 0;
  /// Why find() gives nothing.
  [[nodiscard]] virtual Result<Miss> explain(const ResultKey& key) = 0;
  [[nodiscard]] virtual Result<ResultCacheStats> stats() = 0;
};

[[nodiscard]] std::unique_ptr<ResultCache> make_result_cache(ResultCacheLimits limits = {});

/// Makes the file (mode 0600) when it is missing. Several processes may have it open; the limits of each hold
/// for the whole. A power cut may lose the newest results, never damage the others. Errors: kPermission
/// (others may write to it: whoever can, decides our results), kCorrupt, kIo.
[[nodiscard]] Result<std::unique_ptr<ResultCache>> open_result_cache(const std::string& path,
                                                                     ResultCacheLimits limits = {});

}  // namespace moddev
