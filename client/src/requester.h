// Questions to a daemon, one at a time: ask and wait for the answer until a deadline. For programs that look
// and go (`moddev status`); an executor has a Session. Every request that is asked here may be repeated
// without harm, so it is, when no answer comes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "client/src/zmq_link.h"
#include "protocol/clock.h"
#include "protocol/messages.h"
#include "protocol/result.h"

namespace moddev::client {

/// Not thread-safe.
class Requester {
 public:
  /// Says hello. Errors: kUnavailable when nothing listens there, which a local socket tells at once;
  /// kTimeout when something does and is silent; those of ZmqLink::connect() and of its problem().
  static Result<std::unique_ptr<Requester>> open(const std::string& endpoint, const std::string& software,
                                                 std::chrono::milliseconds patience, KeyChoice keys = {});
  ~Requester();

  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  /// What the daemon answered to the hello.
  [[nodiscard]] const HelloReply& hello() const { return hello_; }

  /// The answer. A daemon that is busy is asked again when it wants to be. Errors: what the daemon answered;
  /// kUnavailable when it went away; kTimeout.
  Result<ReplyBody> ask(const RequestBody& body, std::chrono::milliseconds patience);

  /// The answer as the type that it has to be.
  template <typename Expected>
  Result<Expected> ask_for(const RequestBody& body, std::chrono::milliseconds patience) {
    auto reply = ask(body, patience);
    if (!reply) return reply.error();
    if (auto* expected = std::get_if<Expected>(&*reply)) return std::move(*expected);
    return unexpected();
  }

 private:
  Requester(std::string endpoint, std::unique_ptr<ZmqLink> link);
  /// Takes what came; the answer to `id` if it was among it.
  std::optional<ReplyBody> answer_to(std::uint64_t id);
  void wait(TimePoint until);
  [[nodiscard]] Error unexpected() const;
  [[nodiscard]] Error not_understood(const Error& problem) const;

  std::string endpoint_;
  std::unique_ptr<ZmqLink> link_;
  SystemClock clock_;
  std::uint64_t next_id_ = 1;
  HelloReply hello_;
};

}  // namespace moddev::client
