// A manifest names the whole content of one epoch: every module with version, digest, size, kind and
// dependencies. It is a value: comparing, diffing and digesting it need nothing else.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/digest.h"
#include "protocol/names.h"
#include "protocol/result.h"

namespace moddev {

/// Per module, from 1, +1 exactly when the digest changes.
using Version = std::uint64_t;
/// Per repo, from 1, +1 per changeset; 0 is the empty manifest before the first changeset.
using Epoch = std::uint64_t;

struct ModuleEntry {
  std::string name;
  ModuleKind kind = ModuleKind::kBlob;
  Version version = 0;
  Digest digest;
  std::uint64_t size = 0;
  /// The artifact's path relative to the watched directory, with '/'.
  std::string path;
  /// Names of the modules of the same manifest that this one needs; sorted, without repetition.
  std::vector<std::string> depends_on;
  /// When the version was published: nanoseconds since the Unix epoch. Not part of the manifest digest.
  std::int64_t changed_at_ns = 0;
  friend bool operator==(const ModuleEntry&, const ModuleEntry&) = default;
};

struct Manifest {
  Epoch epoch = 0;
  /// Keyed by name, so sorted.
  std::map<std::string, ModuleEntry, std::less<>> modules;

  [[nodiscard]] const ModuleEntry* find(std::string_view name) const;
  /// SHA-256 over a canonical text of epoch and entries (PROTOCOL.md, "Manifest digest"): two peers whose
  /// digests are equal hold the same set.
  [[nodiscard]] Digest digest() const;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

enum class ChangeKind : std::uint8_t { kAdded, kChanged, kRemoved };
/// "added", "changed", "removed".
[[nodiscard]] std::string_view to_string(ChangeKind change);
[[nodiscard]] std::optional<ChangeKind> change_kind_from_string(std::string_view text);

/// One module's part of a changeset. For kRemoved the entry is the last one that the module had.
struct ModuleChange {
  ChangeKind change = ChangeKind::kChanged;
  ModuleEntry module;
  friend bool operator==(const ModuleChange&, const ModuleChange&) = default;
};

/// What leads from one manifest to the other, sorted by name: modules whose digest, version or dependencies
/// differ.
[[nodiscard]] std::vector<ModuleChange> diff(const Manifest& from, const Manifest& to);

/// `base` with `changes` applied, as `epoch`.
[[nodiscard]] Manifest apply(const Manifest& base, const std::vector<ModuleChange>& changes, Epoch epoch);

/// The names in an order in which every module comes after those that it depends on. Modules in a cycle are
/// adjacent, in name order. Dependencies that are not in the manifest are ignored.
[[nodiscard]] std::vector<std::string> load_order(const Manifest& manifest);

/// Digest of a module together with the digests of all that it depends on, directly or not: the key of cached
/// results. Errors: kNotFound.
[[nodiscard]] Result<Digest> closure_digest(const Manifest& manifest, std::string_view name);

}  // namespace moddev
