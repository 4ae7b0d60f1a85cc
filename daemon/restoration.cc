#include "daemon/restoration.h"

#include <algorithm>
#include <utility>

#include "daemon/limits.h"

namespace moddev::daemon {

bool Restoration::lost(const Digest& digest, const Error& why, TimePoint now) {
  if (why.code != ErrorCode::kCorrupt && why.code != ErrorCode::kNotFound) return false;
  const auto attempt = attempts_.find(digest);
  if (attempt != attempts_.end() && now < attempt->second.until) return attempt->second.hope;
  // Anybody can ask for digests that never were.
  if (why.code == ErrorCode::kNotFound && now < next_look_) return false;
  next_look_ = now + limits::kLookForLostBytes;
  forget_what_is_over(now);
  bool hope = false;
  for (const auto& [name, content] : catalog_.modules()) {
    if (content.digest == digest) hope = read_again(name, content, why.message, now) || hope;
  }
  if (!hope && why.code == ErrorCode::kCorrupt) {
    warnings_.push_back({"stored_bytes_lost", why.message +
                                                  ". The watched directory has other bytes by now, so this "
                                                  "version cannot be had any more."});
  }
  return hope;
}

void Restoration::forget_what_is_over(TimePoint now) {
  std::erase_if(attempts_, [&](const auto& one) { return now >= one.second.until; });
}

void Restoration::look_over(TimePoint now) {
  forget_what_is_over(now);
  for (const auto& [name, content] : catalog_.modules()) {
    const auto size = blobs_.size(content.digest);
    if (!size.ok() && size.error().code != ErrorCode::kNotFound) continue;
    if (size.ok() && *size == content.size) continue;
    read_again(name, content, "the stored bytes of " + content.digest.to_string() + " are not whole any more",
               now);
  }
}

bool Restoration::read_again(const std::string& name, const ModuleContent& content, const std::string& why,
                             TimePoint now) {
  if (attempts_.size() >= limits::kLostBytesAtOnce && !attempts_.contains(content.digest)) return false;
  attempts_.insert_or_assign(content.digest, Attempt{now + limits::kReadAgainFor, true});
  changes_.read_again(content.path);
  warnings_.push_back({"stored_bytes_read_again",
                       "'" + content.path + "' is read again for " + name + ", because " + why + "."});
  return true;
}

std::vector<watcher::Warning> Restoration::take_warnings() {
  return std::exchange(warnings_, {});
}

}  // namespace moddev::daemon
