#include "protocol/endpoint.h"

#include <arpa/inet.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>

namespace moddev {
namespace {

constexpr std::string_view kIpc = "ipc://";
constexpr std::string_view kTcp = "tcp://";

Error invalid(std::string_view text, std::string_view why) {
  std::string message = "The endpoint '";
  message.append(text).append("' is not valid: ").append(why);
  message.append(". Write ipc:///absolute/path or tcp://host:port.");
  return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

Result<Endpoint> parse_ipc(std::string_view text, std::string_view path) {
  if (path.starts_with('@')) return invalid(text, "any user could take over an abstract socket");
  if (!path.starts_with('/')) return invalid(text, "the socket's path must be absolute");
  if (path.ends_with('/')) return invalid(text, "the path names a directory, not a socket");
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return invalid(text, "control character in the path");
  }
  const std::size_t longest = sizeof(sockaddr_un::sun_path) - 1 - kEventsSuffix.size();
  if (path.size() > longest) {
    return invalid(text, "the path has " + std::to_string(path.size()) +
                             " bytes and a socket's path may have " + std::to_string(longest));
  }
  Endpoint endpoint;
  endpoint.path = path;
  return endpoint;
}

bool host_is_sane(std::string_view host) {
  if (host.empty()) return false;
  if (host == "*") return true;
  const bool bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (bracketed) {
    in6_addr address{};
    return ::inet_pton(AF_INET6, std::string(host.substr(1, host.size() - 2)).c_str(), &address) == 1;
  }
  for (const char c : host) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '-' || c == '_';
    if (!fine) return false;
  }
  return true;
}

Result<Endpoint> parse_tcp(std::string_view text, std::string_view rest) {
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) return invalid(text, "the port is missing");
  Endpoint endpoint;
  endpoint.scheme = Endpoint::Scheme::kTcp;
  endpoint.host = rest.substr(0, colon);
  if (!host_is_sane(endpoint.host)) return invalid(text, "the host is no name and no address");
  const std::string_view digits = rest.substr(colon + 1);
  if (digits == "*") return endpoint;
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size() || port == 0) {
    return invalid(text, "the port is no number from 1 to 65535");
  }
  endpoint.port = port;
  return endpoint;
}

Error not_private(const std::string& path, std::string_view why) {
  std::string message = "The directory ";
  message.append(path).append(" is no safe place for a socket: ").append(why);
  message.append(". Use a directory of your own with mode 0700.");
  return Error{ErrorCode::kPermission, std::move(message)};
}

}  // namespace

std::string Endpoint::to_string() const {
  if (scheme == Scheme::kIpc) return std::string(kIpc) + path;
  return std::string(kTcp) + host + ":" + (port ? std::to_string(*port) : "*");
}

bool Endpoint::is_local() const {
  if (scheme == Scheme::kIpc || host == "localhost") return true;
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  if (host.size() > 2 && ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1) {
    return IN6_IS_ADDR_LOOPBACK(&v6);
  }
  return false;
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  if (text.starts_with(kIpc)) return parse_ipc(text, text.substr(kIpc.size()));
  if (text.starts_with(kTcp)) return parse_tcp(text, text.substr(kTcp.size()));
  return invalid(text, "it begins with neither ipc:// nor tcp://");
}

std::string default_endpoint(const char* xdg_runtime_dir, uid_t uid) {
  std::string directory;
  if (xdg_runtime_dir != nullptr && xdg_runtime_dir[0] == '/') {
    directory = xdg_runtime_dir;
    while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
    directory += "/moddev";
  } else {
    directory = "/tmp/moddev-" + std::to_string(uid);
  }
  return std::string(kIpc) + directory + "/default.sock";
}

Status check_private_directory(const std::string& path, uid_t uid) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    Error error = errno_error("Cannot look at the directory " + path, errno);
    error.code = error.sys_errno == ENOENT ? ErrorCode::kNotFound : error.code;
    return error;
  }
  if (S_ISLNK(info.st_mode)) return not_private(path, "it is a symbolic link");
  if (!S_ISDIR(info.st_mode)) return not_private(path, "it is no directory");
  if (info.st_uid != uid) {
    return not_private(
        path, "it belongs to user " + std::to_string(info.st_uid) + ", not to user " + std::to_string(uid));
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) return not_private(path, "others may write into it");
  return {};
}

Status ensure_private_directory(const std::string& path, uid_t uid) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_error("Cannot create the directory " + path, errno);
  }
  return check_private_directory(path, uid);
}

}  // namespace moddev
