#include "client/src/requester.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "client/src/limits.h"
#include "protocol/endpoint.h"

namespace moddev::client {
namespace {

/// Whether the socket file has a listener. Only a clear "no" counts: anything else is left to the deadline.
bool nobody_listens(const std::string& text) {
  const auto endpoint = parse_endpoint(text);
  if (!endpoint || endpoint->scheme != Endpoint::Scheme::kIpc) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (endpoint->path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, endpoint->path.c_str(), endpoint->path.size());
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return false;
  const int failed =
      ::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  ::close(descriptor);
  return failed == ECONNREFUSED || failed == ENOENT || failed == ENOTDIR;
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
                                                   std::chrono::milliseconds patience) {
  auto link = ZmqLink::connect(endpoint);
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
  for (;;) {
    if (nobody_listens(endpoint_))
      return Error{ErrorCode::kUnavailable, "Nothing answers at " + endpoint_ + "."};
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
      if (link_->problem()) return *link_->problem();
      wait(std::min(again, deadline));
    }
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

Error Requester::unexpected() const {
  return {ErrorCode::kCorrupt, "The daemon at " + endpoint_ +
                                   " answered something else than it was asked for. It may be of another "
                                   "version: restart it."};
}

}  // namespace moddev::client
