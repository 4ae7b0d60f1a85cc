#include "client/src/requester.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "client/src/limits.h"
#include "protocol/descriptor.h"
#include "protocol/endpoint.h"

namespace moddev::client {
namespace {

/// A connection inside this machine is made or refused at once.
constexpr int kConnectPatienceMs = 100;

bool refuses(int family, const sockaddr* address, socklen_t size) {
  const Descriptor socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.get() < 0 || ::connect(socket.get(), address, size) == 0) return false;
  int problem = errno;
  if (problem == EINPROGRESS) {
    pollfd polled{socket.get(), POLLOUT, 0};
    socklen_t length = sizeof problem;
    if (::poll(&polled, 1, kConnectPatienceMs) != 1 ||
        ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &problem, &length) != 0)
      return false;
  }
  return problem == ECONNREFUSED || problem == ENOENT || problem == ENOTDIR;
}

/// Whether the socket file has no listener. Only a clear "no" counts: anything else is left to the deadline.
bool nobody_listens(const Endpoint& endpoint) {
  if (endpoint.scheme != Endpoint::Scheme::kIpc) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (endpoint.path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, endpoint.path.c_str(), endpoint.path.size());
  return refuses(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

/// The same of a port of this machine. To a daemon it is a connection that says nothing, so it is asked only
/// when no answer comes.
bool port_is_closed(const Endpoint& endpoint) {
  if (endpoint.scheme != Endpoint::Scheme::kTcp || !endpoint.port || !endpoint.is_local()) return false;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(*endpoint.port);
  if (::inet_pton(AF_INET, endpoint.host.c_str(), &address.sin_addr) == 1)
    return refuses(AF_INET, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  return false;
}

Error nobody_at(const std::string& endpoint) {
  return {ErrorCode::kUnavailable, "Nothing answers at " + endpoint + "."};
}

std::string seconds(std::chrono::milliseconds duration) {
  const auto whole = std::chrono::ceil<std::chrono::seconds>(duration).count();
  return std::to_string(whole) + (whole == 1 ? " second" : " seconds");
}

}  // namespace

Requester::Requester(std::string endpoint, std::unique_ptr<ZmqLink> link)
    : endpoint_(std::move(endpoint)), link_(std::move(link)) {}
Requester::~Requester() = default;

Result<std::unique_ptr<Requester>> Requester::open(const std::string& endpoint, const std::string& software,
                                                   std::chrono::milliseconds patience, KeyChoice keys) {
  auto link = ZmqLink::connect(endpoint, std::move(keys));
  if (!link) return link.error();
  std::unique_ptr<Requester> requester(new Requester(endpoint, std::move(*link)));
  auto hello = requester->ask_for<HelloReply>(HelloRequest{software}, patience);
  if (!hello) return hello.error();
  requester->hello_ = std::move(*hello);
  return requester;
}

Result<ReplyBody> Requester::ask(const RequestBody& body, std::chrono::milliseconds patience) {
  const std::uint64_t id = next_id_++;
  const TimePoint deadline = clock_.now() + patience;
  (void)link_->take_not_understood();  // late answers to what was asked before
  const auto where = parse_endpoint(endpoint_);
  for (;;) {
    if (where && nobody_listens(*where)) return nobody_at(endpoint_);
    link_->send({id, body});
    if (link_->problem()) return *link_->problem();
    TimePoint again = clock_.now() + limits::kRequestLast;
    while (clock_.now() < std::min(again, deadline)) {
      if (auto reply = answer_to(id)) {
        const auto* error = std::get_if<ErrorReply>(&*reply);
        if (error == nullptr) return std::move(*reply);
        const TimePoint retry = clock_.now() + std::chrono::milliseconds(error->retry_after_ms);
        if (error->retry_after_ms <= 0 || retry >= deadline) return Error{error->code, error->message};
        again = retry;
      }
      if (const auto problem = link_->take_not_understood()) return not_understood(*problem);
      if (link_->problem()) return *link_->problem();
      wait(std::min(again, deadline));
    }
    if (where && port_is_closed(*where)) return nobody_at(endpoint_);
    if (clock_.now() >= deadline) {
      return Error{ErrorCode::kTimeout, "No answer from " + endpoint_ + " within " + seconds(patience) + "."};
    }
  }
}

std::optional<ReplyBody> Requester::answer_to(std::uint64_t id) {
  std::optional<ReplyBody> answer;
  // To the end, for the descriptors are edge-triggered.
  while (auto input = link_->receive()) {
    auto* reply = std::get_if<Reply>(&*input);
    if (reply != nullptr && reply->id == id) answer = std::move(reply->body);
  }
  return answer;
}

void Requester::wait(TimePoint until) {
  std::vector<pollfd> polled;
  for (const int descriptor : link_->descriptors()) polled.push_back({descriptor, POLLIN, 0});
  const Duration left = std::max(until - clock_.now(), Duration::zero());
  const timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
  ::ppoll(polled.data(), polled.size(), &timeout, nullptr);
}

Error Requester::not_understood(const Error& problem) const {
  const char* who = problem.code == ErrorCode::kUnsupported
                        ? "."
                        : ". It is of another version than this moddev, or another program.";
  return {ErrorCode::kUnsupported,
          "What answers at " + endpoint_ + " is not understood: " + problem.message + who};
}

Error Requester::unexpected() const {
  return {ErrorCode::kCorrupt, "The daemon at " + endpoint_ +
                                   " answered something else than it was asked for. It may be of another "
                                   "version: restart it."};
}

}  // namespace moddev::client
