#include "protocol/descriptor.h"

#include <cerrno>

namespace moddev {

Status write_all(int descriptor, std::span<const std::byte> data, const std::string& what) {
  while (!data.empty()) {
    const ssize_t written = ::write(descriptor, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_error("cannot write " + what, errno);
    data = data.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace moddev
