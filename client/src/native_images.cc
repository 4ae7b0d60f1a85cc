#include "client/src/native_images.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>

namespace moddev {

MappedImages& MappedImages::of_process() {
  // Never destroyed: modules may be unloaded while the process ends.
  static auto* const images = new MappedImages;
  return *images;
}

void MappedImages::add(MappedImage image) {
  const std::lock_guard lock(mutex_);
  // Whatever was known to be in this place is gone: its memory has been given out again.
  auto there = by_begin_.lower_bound(image.begin);
  if (there != by_begin_.begin() && std::prev(there)->second.end > image.begin) --there;
  while (there != by_begin_.end() && there->first < image.end) there = by_begin_.erase(there);
  begin_of_[image.path] = image.begin;
  by_begin_[image.begin] = std::move(image);
}

void MappedImages::remove(std::string_view path) {
  const std::lock_guard lock(mutex_);
  const auto found = begin_of_.find(path);
  if (found == begin_of_.end()) return;
  const auto there = by_begin_.find(found->second);
  if (there != by_begin_.end() && there->second.path == path) by_begin_.erase(there);
  begin_of_.erase(found);
}

bool MappedImages::contains(std::string_view path) const {
  const std::lock_guard lock(mutex_);
  return begin_of_.contains(path);
}

std::optional<MappedImages::Stranger> MappedImages::first_stranger(
    std::span<const std::uintptr_t> addresses, const std::set<std::string, std::less<>>& allowed) const {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    auto after = by_begin_.upper_bound(addresses[i]);
    if (after == by_begin_.begin()) continue;
    const MappedImage& image = std::prev(after)->second;
    if (addresses[i] < image.end && !allowed.contains(image.path)) return Stranger{i, image};
  }
  return std::nullopt;
}

HeldImage::~HeldImage() {
  if (images_ != nullptr) images_->give_back(path_);
}

Result<std::shared_ptr<NativeImages>> NativeImages::open(const std::filesystem::path& directory) {
  auto cache = ImageCache::open(directory);
  if (!cache) return cache.error();
  return std::shared_ptr<NativeImages>(new NativeImages(*std::move(cache)));
}

NativeImages::~NativeImages() {
  settle();
  // What is still mapped keeps its file: the lock ends with this object, and a debugger may still want it.
}

Result<HeldImage> NativeImages::hold(const std::string& path, const PatchedImage& image) {
  // Locked first: from then on nobody deletes the file between looking at it and loading it.
  if (auto locked = cache_.lock(path); !locked) return locked.error();
  HeldImage held(shared_from_this(), path);
  if (auto there = cache_.put(path, image); !there) return there.error();
  return held;
}

void NativeImages::give_back(const std::string& path) {
  cache_.release(path);
}

void NativeImages::retire(HeldImage image, std::uint64_t bytes, bool closed) {
  const std::lock_guard lock(mutex_);
  retired_.push_back({std::move(image.path_), bytes, closed});
  image.images_.reset();
}

void NativeImages::stop_and_retire(std::function<void()> stop, std::string whose, void* handle,
                                   HeldImage image, std::uint64_t bytes) {
  std::list<Stopping>::iterator entry;
  {
    const std::lock_guard lock(mutex_);
    entry = stopping_.insert(stopping_.end(), {std::move(whose), bytes, SystemClock().now()});
  }
  auto held = std::make_shared<HeldImage>(std::move(image));
  const auto finish = [self = shared_from_this(), stop = std::move(stop), handle, held, bytes, entry] {
    stop();
    ::dlclose(handle);
    self->retire(std::move(*held), bytes, true);
    self->settle();
    const std::lock_guard lock(self->mutex_);
    self->stopping_.erase(entry);
    self->stopped_.notify_all();
  };
  try {
    std::thread(finish).detach();
  } catch (const std::system_error&) {
    finish();  // no more threads: then it is waited for
  }
}

std::vector<std::string> NativeImages::overdue_stops(TimePoint now) const {
  std::vector<std::string> sentences;
  const std::lock_guard lock(mutex_);
  for (const Stopping& one : stopping_) {
    if (now - one.since < kStopPatience) continue;
    sentences.push_back("The stop hook (MODDEV_ON_STOP) of " + one.whose + " has not returned within " +
                        std::to_string(kStopPatience.count()) +
                        " s. That version stays in memory until it does.");
  }
  return sentences;
}

void NativeImages::wait_for_stops() {
  std::unique_lock lock(mutex_);
  stopped_.wait_for(lock, kStopPatience, [this] { return stopping_.empty(); });
}

void NativeImages::settle() {
  const std::lock_guard lock(mutex_);
  if (std::none_of(retired_.begin(), retired_.end(), [](const Retired& one) { return one.closed; })) return;
  std::map<std::string_view, bool> mapped;
  for (const Retired& one : retired_) mapped.emplace(one.path, false);
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        auto& paths = *static_cast<std::map<std::string_view, bool>*>(result);
        const auto found = paths.find(info->dlpi_name);
        if (found != paths.end()) found->second = true;
        return 0;
      },
      &mapped);
  std::erase_if(retired_, [&](const Retired& one) {
    if (!one.closed || mapped[one.path]) return false;
    MappedImages::of_process().remove(one.path);
    give_back(one.path);
    return true;
  });
}

NativeImages::Retained NativeImages::retained() const {
  const std::lock_guard lock(mutex_);
  Retained sum{stopping_.size(), 0, stopping_.size()};
  for (const Stopping& one : stopping_) sum.bytes += one.bytes;
  for (const Retired& one : retired_) {
    ++sum.images;
    sum.bytes += one.bytes;
  }
  return sum;
}

}  // namespace moddev
