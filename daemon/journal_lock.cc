#include "daemon/journal_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/file_lock.h"

namespace moddev::daemon {
namespace {

// The file: the holder's pid, a newline, the newest epoch with leading zeros, a newline. Fixed widths, so
// that one pwrite(2) replaces a number by a number.
constexpr int kDigits = 20;
constexpr std::size_t kEpochAt = kDigits + 1;
constexpr std::size_t kSize = 2 * (kDigits + 1);

using Line = std::array<char, kDigits + 1>;

Line line_of(std::uint64_t number) {
  Line line;
  line.fill('0');
  line.back() = '\n';
  for (std::size_t at = kDigits; number != 0; number /= 10) {
    line[--at] = static_cast<char>('0' + number % 10);
  }
  return line;
}

/// The number in the line at `start`; 0 when there is none.
std::uint64_t number_at(std::string_view text, std::size_t start) {
  if (start >= text.size()) return 0;
  const std::string_view line = text.substr(start, text.find('\n', start) - start);
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(line.data(), line.data() + line.size(), number);
  return parsed.ec == std::errc() ? number : 0;
}

}  // namespace

JournalLock::~JournalLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}
JournalLock::JournalLock(JournalLock&& other) noexcept {
  *this = std::move(other);
}
JournalLock& JournalLock::operator=(JournalLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(used_before_, other.used_before_);
  std::swap(witnessed_, other.witnessed_);
  return *this;
}

Result<JournalLock> JournalLock::take(const std::filesystem::path& journal) {
  const std::string name = journal.string() + ".lock";
  JournalLock lock;
  lock.descriptor_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock.descriptor_ < 0) return errno_error("cannot open '" + name + "'", errno);
  std::array<char, kSize> buffer{};
  const bool free = lock_file(lock.descriptor_);
  const int refusal = errno;
  const ssize_t size = ::pread(lock.descriptor_, buffer.data(), buffer.size(), 0);
  const std::string_view before(buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  if (!free) {
    if (refusal != EWOULDBLOCK) return errno_error("cannot lock '" + name + "'", refusal);
    const std::uint64_t pid = number_at(before, 0);
    return Error{ErrorCode::kUnavailable,
                 "another daemon (pid " + (pid != 0 ? std::to_string(pid) : std::string("unknown")) +
                     ") holds the history '" + journal.string() +
                     "'; stop it first, or watch another directory",
                 EWOULDBLOCK};
  }
  lock.used_before_ = !before.empty();
  lock.witnessed_ = number_at(before, kEpochAt);
  const Line pid = line_of(static_cast<std::uint64_t>(::getpid()));
  if (::pwrite(lock.descriptor_, pid.data(), pid.size(), 0) < 0) {
    return errno_error("cannot write '" + name + "'", errno);
  }
  // What an earlier program wrote may be shorter or longer.
  lock.witness(lock.witnessed_);
  if (::ftruncate(lock.descriptor_, kSize) != 0) return errno_error("cannot write '" + name + "'", errno);
  return lock;
}

void JournalLock::witness(Epoch head) {
  if (descriptor_ < 0) return;
  const Line line = line_of(head);
  if (::pwrite(descriptor_, line.data(), line.size(), kEpochAt) == static_cast<ssize_t>(line.size()))
    witnessed_ = head;
}

}  // namespace moddev::daemon
