#include "watcher/fsevents_decode.h"

#include <optional>

namespace moddev::watcher {
namespace {

using Kind = WatchEvent::Kind;

std::optional<std::string> relative(std::string_view path, std::string_view root) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path == root) return std::string();
  if (root == "/") return std::string(path.substr(1));
  if (!path.starts_with(root) || path.size() <= root.size() || path[root.size()] != '/') return std::nullopt;
  return std::string(path.substr(root.size() + 1));
}

std::optional<WatchEvent> decode_one(const FsEventsRecord& record, std::string_view root) {
  using namespace fsevents;
  const std::uint32_t flags = record.flags;
  if ((flags & kRootChanged) != 0) return WatchEvent{Kind::kRootGone, {}, {}};
  if ((flags & (kUserDropped | kKernelDropped | kEventIdsWrapped)) != 0)
    return WatchEvent{Kind::kOverflow, {}, {}};
  if ((flags & kHistoryDone) != 0) return std::nullopt;
  std::optional<std::string> path = relative(record.path, root);
  if (!path) return std::nullopt;
  // A rescan of a directory also notices that it is gone.
  if ((flags & (kMustScanSubDirs | kMount | kUnmount | kItemIsDir)) != 0)
    return WatchEvent{Kind::kDirectory, std::move(*path), {}};
  if (path->empty()) return WatchEvent{Kind::kDirectory, {}, {}};
  constexpr std::uint32_t kContent = kItemCreated | kItemRemoved | kItemRenamed | kItemModified;
  constexpr std::uint32_t kAttributes =
      kItemInodeMetaMod | kItemFinderInfoMod | kItemChangeOwner | kItemXattrMod;
  if ((flags & kContent) == 0 && (flags & kAttributes) != 0)
    return WatchEvent{Kind::kAttributes, std::move(*path), {}};
  return WatchEvent{Kind::kChanged, std::move(*path), {}};
}

}  // namespace

std::vector<WatchEvent> decode_fsevents(std::span<const FsEventsRecord> records, std::string_view root) {
  std::vector<WatchEvent> events;
  for (const FsEventsRecord& record : records) {
    std::optional<WatchEvent> event = decode_one(record, root);
    if (event && (events.empty() || events.back() != *event)) events.push_back(std::move(*event));
  }
  return events;
}

}  // namespace moddev::watcher
