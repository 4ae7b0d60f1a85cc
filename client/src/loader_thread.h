// The real Loader: transactions on a thread of their own, because a module's initialisers may take as long as
// they like. In this order: a preparation; unloading what was retired; keeping the bytes of the last
// preparations in the cache. So nothing that can wait is in the way of a new epoch.
//
// A loader that is destroyed ends its thread, except when the thread is in a module's code (an initialiser, a
// hook, a destructor) and does not come out of it: then it is left behind, with all that it needs.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

#include "client/src/loader.h"
#include "client/src/trials.h"
#include "protocol/blob_store.h"

namespace moddev {

/// Modules that came with announcements and are not in the cache yet. Beyond, the oldest are not kept:
/// whoever needs them again fetches them.
inline constexpr std::size_t kBytesToKeep = 32UL * 1024 * 1024;
/// They are kept when no preparation came for so long: making files takes a disk up to a millisecond, and
/// until the whole fleet has switched, the processors are needed for that.
inline constexpr auto kKeepAfter = std::chrono::milliseconds(50);

/// How long the end of a loader waits for a module's code; what takes longer is told of.
inline constexpr auto kModulePatience = std::chrono::seconds(2);

struct LoaderOptions {
  /// Where private copies of native modules go; a directory in memory is fastest. Created as needed. When it
  /// cannot be used, every native module fails with the reason.
  std::filesystem::path image_directory;
  /// Has what a plan does not bring, and is given what it brings. Must outlive the loader.
  BlobStore& cache;
  TrialOptions trial = {};
};

[[nodiscard]] std::unique_ptr<Loader> make_loader(LoaderOptions options);

/// Threads of this process that were left behind in a module's code and are there still. One that is in an
/// initialiser has the dynamic loader's lock: then exit() waits for ever, and only _exit() ends the process.
[[nodiscard]] std::uint64_t loaders_left_behind();

}  // namespace moddev
