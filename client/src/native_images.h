// What becomes of the private copies that this process loads: each is locked and on disk before it is loaded,
// stays so while it is mapped, and goes away when nobody uses it any more. Knows paths and address ranges;
// it loads and unloads nothing itself.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/src/image_cache.h"
#include "client/src/image_rewrite.h"
#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/result.h"

namespace moddev {

/// An image in memory.
struct MappedImage {
  std::string path;
  std::string module;
  Version version = 0;
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

/// All images of the process, whichever client loaded them, those included that could not be unloaded. From
/// any thread.
class MappedImages {
 public:
  static MappedImages& of_process();

  void add(MappedImage image);
  void remove(std::string_view path);
  [[nodiscard]] bool contains(std::string_view path) const;

  /// The first of `addresses` that lies in an image whose path is not in `allowed`: its index, and whose it
  /// is.
  struct Stranger {
    std::size_t index = 0;
    MappedImage image;
  };
  [[nodiscard]] std::optional<Stranger> first_stranger(
      std::span<const std::uintptr_t> addresses, const std::set<std::string, std::less<>>& allowed) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::uintptr_t, MappedImage> by_begin_;
  std::map<std::string, std::uintptr_t, std::less<>> begin_of_;
};

class NativeImages;

/// How long the end of a client waits for the stop hooks of its modules; later ones are told of.
inline constexpr auto kStopPatience = std::chrono::seconds(2);

/// The right to load one image: its file is complete and nobody deletes it. Gives it back when dropped.
class HeldImage {
 public:
  HeldImage(HeldImage&&) noexcept = default;
  HeldImage& operator=(HeldImage&&) = delete;
  ~HeldImage();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  friend class NativeImages;
  HeldImage(std::shared_ptr<NativeImages> images, std::string path)
      : images_(std::move(images)), path_(std::move(path)) {}
  std::shared_ptr<NativeImages> images_;
  std::string path_;
};

/// The images of one loader. From any thread.
class NativeImages : public std::enable_shared_from_this<NativeImages> {
 public:
  /// Errors: as ImageCache::open().
  static Result<std::shared_ptr<NativeImages>> open(const std::filesystem::path& directory);
  ~NativeImages();
  NativeImages(const NativeImages&) = delete;
  NativeImages& operator=(const NativeImages&) = delete;

  [[nodiscard]] std::string path_of(std::string_view file_name, std::string_view key) const {
    return cache_.path_of(file_name, key);
  }
  [[nodiscard]] const std::filesystem::path& directory() const { return cache_.directory(); }

  /// Makes sure that the file is there, with exactly these bytes, and stays.
  Result<HeldImage> hold(const std::string& path, const PatchedImage& image);

  /// The image was closed, or is given up without closing it (`closed` false: its threads may still run).
  /// settle() finds out what became of it.
  void retire(HeldImage image, std::uint64_t bytes, bool closed);
  /// Runs `stop` on a thread of its own, then closes `handle` and retires the image. Until then it counts as
  /// retained. `whose` is for people: "version 3 of module 'scorer'".
  void stop_and_retire(std::function<void()> stop, std::string whose, void* handle, HeldImage image,
                       std::uint64_t bytes);
  /// Of each stop that has not returned within kStopPatience: a sentence, always in the same words.
  [[nodiscard]] std::vector<std::string> overdue_stops(TimePoint now) const;
  /// Waits until no stop is running, at most kStopPatience.
  void wait_for_stops();
  /// Looks which of the retired images are gone from memory, and forgets them with their files. To be called
  /// after a number of retire(), when there is time.
  void settle();

  /// Images that are still mapped although they were retired.
  struct Retained {
    std::uint64_t images = 0;
    std::uint64_t bytes = 0;
    /// Among them: those whose stop hook has not returned.
    std::uint64_t stopping = 0;
  };
  [[nodiscard]] Retained retained() const;

 private:
  friend class HeldImage;
  explicit NativeImages(ImageCache cache) : cache_(std::move(cache)) {}
  void give_back(const std::string& path);

  struct Retired {
    std::string path;
    std::uint64_t bytes = 0;
    bool closed = true;
  };
  mutable std::mutex mutex_;
  ImageCache cache_;
  std::vector<Retired> retired_;
  struct Stopping {
    std::string whose;
    std::uint64_t bytes = 0;
    TimePoint since{};
  };
  std::list<Stopping> stopping_;
  std::condition_variable stopped_;
};

}  // namespace moddev
