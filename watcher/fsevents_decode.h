// What macOS' FSEvents flags mean. Pure, and tested everywhere. Apple's "File System Events Programming
// Guide" and the documentation of FSEventStreamEventFlags are the source: flags of one path are cumulative
// since some time in the past, so "removed" and "created" together say nothing about which came last. Hence
// each item is only a hint to look, and only the flags that mean lost events are taken at their word.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "watcher/event_source.h"

namespace moddev::watcher {

namespace fsevents {
inline constexpr std::uint32_t kMustScanSubDirs = 0x00000001;
inline constexpr std::uint32_t kUserDropped = 0x00000002;
inline constexpr std::uint32_t kKernelDropped = 0x00000004;
inline constexpr std::uint32_t kEventIdsWrapped = 0x00000008;
inline constexpr std::uint32_t kHistoryDone = 0x00000010;
inline constexpr std::uint32_t kRootChanged = 0x00000020;
inline constexpr std::uint32_t kMount = 0x00000040;
inline constexpr std::uint32_t kUnmount = 0x00000080;
inline constexpr std::uint32_t kItemCreated = 0x00000100;
inline constexpr std::uint32_t kItemRemoved = 0x00000200;
inline constexpr std::uint32_t kItemInodeMetaMod = 0x00000400;
inline constexpr std::uint32_t kItemRenamed = 0x00000800;
inline constexpr std::uint32_t kItemModified = 0x00001000;
inline constexpr std::uint32_t kItemFinderInfoMod = 0x00002000;
inline constexpr std::uint32_t kItemChangeOwner = 0x00004000;
inline constexpr std::uint32_t kItemXattrMod = 0x00008000;
inline constexpr std::uint32_t kItemIsFile = 0x00010000;
inline constexpr std::uint32_t kItemIsDir = 0x00020000;
inline constexpr std::uint32_t kItemIsSymlink = 0x00040000;
}  // namespace fsevents

struct FsEventsRecord {
  std::string path;  // absolute
  std::uint32_t flags = 0;
};

/// Records of one callback in their order. `root` is absolute and resolved, as FSEvents reports paths; what
/// is not below it is dropped.
[[nodiscard]] std::vector<WatchEvent> decode_fsevents(std::span<const FsEventsRecord> records,
                                                      std::string_view root);

}  // namespace moddev::watcher
