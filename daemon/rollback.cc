#include "daemon/rollback.h"

#include <algorithm>
#include <set>
#include <utility>

#include "daemon/history.h"
#include "daemon/limits.h"
#include "daemon/versioner.h"
#include "protocol/limits.h"
#include "protocol/name_match.h"

namespace moddev::daemon {
namespace {

ModuleSet contents_of(const Manifest& manifest) {
  ModuleSet modules;
  for (const auto& [name, entry] : manifest.modules)
    modules.emplace_hint(modules.end(), name, content_of(entry));
  return modules;
}

/// Lets `name` have `content` (nothing: be absent) against what the directory has, or follow the directory
/// where that has the same.
void hold_or_follow(HoldSet& holds, const std::string& name, const std::optional<ModuleContent>& content,
                    Version version, const ModuleSet& directory) {
  const auto there = directory.find(name);
  const bool in_directory = there != directory.end();
  const bool the_same = content ? in_directory && there->second.digest == content->digest &&
                                      there->second.kind == content->kind &&
                                      there->second.depends_on == content->depends_on
                                : !in_directory;
  if (the_same) {
    holds.erase(name);
    return;
  }
  Hold hold{content, version, {}, content ? content->path : std::string()};
  if (in_directory) {
    hold.overrides = there->second.digest;
    hold.path = there->second.path;
  }
  holds.insert_or_assign(name, std::move(hold));
}

/// Verifies as long as there are bytes `left` for that. What is not verified here, executors refuse.
Status bytes_are_good(const ModuleEntry& module, const BlobStore& blobs, std::uint64_t& left) {
  const auto size = blobs.size(module.digest);
  if (!size) return size.error();
  if (*size != module.size)
    return Error{ErrorCode::kCorrupt, module.digest.to_string() + " is not whole any more", 0};
  if (module.size > left) return {};
  left -= module.size;
  for (std::uint64_t offset = 0; offset < module.size; offset += limits::kChunkBytes) {
    const auto piece = blobs.read_range(module.digest, offset, limits::kChunkBytes);
    if (!piece) return piece.error();
  }
  return {};
}

bool same_bytes(const Manifest& a, const Manifest& b) {
  return std::ranges::equal(a.modules, b.modules, [](const auto& one, const auto& other) {
    return one.first == other.first && one.second.digest == other.second.digest;
  });
}

/// The newest committed epoch before the committed one that had its content, when that came back by a
/// rollback: where the next one goes on, so that it leads further back, not to what was left. Nothing where
/// the content is new, or older than limits::kRollbackLooksBack epochs.
std::optional<EpochRecord> same_before(const Journal& journal) {
  auto record = journal.epoch(journal.committed().epoch);
  if (!record || !record->cause.starts_with("rollback")) return std::nullopt;
  for (std::size_t looks = 0; looks < limits::kRollbackLooksBack && record->base != 0; ++looks) {
    record = journal.epoch(record->base);
    if (!record) return std::nullopt;
    if (same_bytes(record->manifest, journal.committed())) return std::move(*record);
  }
  return std::nullopt;
}

Error nothing_to_do(const std::string& what) {
  return {ErrorCode::kAlreadyExists, what + ": nothing was changed.", 0};
}

Result<EpochRecord> finish(const Journal& journal, const ModuleSet& desired, HoldSet holds, std::string cause,
                           const std::string& already, WallTime now) {
  // Not to be confused with the holds to be: here they serve only to leave out dependencies that are not
  // there.
  auto record = next_epoch(with_holds(desired, {}), journal.committed(), nullptr, journal.head(),
                           journal.last_versions(), now);
  if (!record) return nothing_to_do(already);
  record->cause = std::move(cause);
  record->holds = std::move(holds);
  return std::move(*record);
}

}  // namespace

Result<EpochRecord> roll_back_module(const Journal& journal, const ModuleSet& directory,
                                     const std::string& module, Version version, WallTime now) {
  const ModuleEntry* has = journal.committed().find(module);
  const auto held = journal.holds().find(module);
  Result<VersionRecord> target = Error{};
  if (version != 0) {
    target = journal.version(module, version);
  } else {
    const auto last = journal.last_versions().find(module);
    Version below = last == journal.last_versions().end() ? 1 : last->second.version + 1;
    if (has != nullptr) below = has->version;
    if (held != journal.holds().end() && held->second.content) below = held->second.version;
    target = journal.version_before(module, below);
    // Equal bytes can have two numbers, when other bytes were refused in between.
    while (target && has != nullptr && target->module.digest == has->digest)
      target = journal.version_before(module, target->module.version);
  }
  if (!target) return target.error();
  const ModuleEntry& old = target->module;
  const std::string to = "version " + std::to_string(old.version);
  ModuleSet desired = contents_of(journal.committed());
  desired.insert_or_assign(module, content_of(old));
  HoldSet holds = journal.holds();
  hold_or_follow(holds, module, content_of(old), old.version, directory);
  return finish(journal, desired, std::move(holds), "rollback of " + module + " to " + to,
                module + " has the bytes of " + to + " already", now);
}

HoldSet with_quarantine(HoldSet holds, const std::vector<ModuleChange>& changes, const Manifest& committed,
                        const ModuleSet& directory) {
  for (const ModuleChange& change : changes) {
    const auto there = directory.find(change.module.name);
    const bool suspect = change.change != ChangeKind::kRemoved && there != directory.end() &&
                         there->second.digest == change.module.digest;
    if (!suspect) continue;
    const ModuleEntry* live = committed.find(change.module.name);
    hold_or_follow(holds, change.module.name,
                   live == nullptr ? std::nullopt : std::optional(content_of(*live)),
                   live == nullptr ? 0 : live->version, directory);
  }
  return holds;
}

Result<EpochRecord> roll_back_all(const Journal& journal, const ModuleSet& directory, Epoch epoch,
                                  WallTime now) {
  if (epoch == 0) {
    if (journal.committed().epoch == 0)
      return Error{ErrorCode::kNotFound, "Nothing was committed yet, so there is nothing to go back to.", 0};
    auto from = journal.epoch(journal.committed().epoch);
    // A rollback is gone on from where it led to, so that the next one leads further back.
    if (from && from->restores != 0) {
      from = journal.epoch(from->restores);
    } else if (auto before = same_before(journal)) {
      from = std::move(*before);
    }
    if (!from) return from.error();
    if (from->base == 0) {
      return Error{ErrorCode::kNotFound,
                   "There is no epoch before epoch " + std::to_string(from->epoch) + " to go back to.", 0};
    }
    epoch = from->base;
  }
  auto target = journal.manifest(epoch);
  if (!target) return target.error();
  const std::string to = "epoch " + std::to_string(epoch);
  const ModuleSet desired = contents_of(*target);
  HoldSet holds;
  for (const auto& [name, entry] : target->modules) {
    hold_or_follow(holds, name, content_of(entry), entry.version, directory);
  }
  for (const auto& [name, content] : directory) {
    if (!target->modules.contains(name)) hold_or_follow(holds, name, std::nullopt, 0, directory);
  }
  const auto old = journal.epoch(epoch);
  const bool refused = old && old->state == EpochState::kAborted;
  auto record =
      finish(journal, desired, std::move(holds), "rollback to " + to + (refused ? ", which was refused" : ""),
             "All modules are as in " + to, now);
  if (record) record->restores = epoch;
  return record;
}

Result<EpochRecord> roll_back(const Journal& journal, const ModuleSet& directory,
                              const RollbackRequest& request, WallTime now) {
  if (request.module.empty()) return roll_back_all(journal, directory, request.to, now);
  auto name = match_name(request.module, known_modules(journal));
  if (!name) return name.error();
  return roll_back_module(journal, directory, *name, request.to, now);
}

Status bytes_are_there(const EpochRecord& record, const BlobStore& blobs) {
  std::uint64_t left = limits::kRollbackVerifies;
  for (const auto& [change, module] : record.changes) {
    if (change == ChangeKind::kRemoved) continue;
    const Status good = bytes_are_good(module, blobs, left);
    if (good) continue;
    return Error{good.error().code,
                 "A " + record.cause + " is not possible: the bytes of " + module.name + " " +
                     std::to_string(module.version) + " cannot be had (" + good.error().message + ").",
                 0};
  }
  return {};
}

}  // namespace moddev::daemon
