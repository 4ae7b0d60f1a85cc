// Answers to acks, put off while a switch is under way: nobody waits for them, and each would wake a process
// just when all others need the processors for the switch. It does not decide when that is.
#pragma once

#include <utility>
#include <vector>

#include "daemon/limits.h"
#include "daemon/transport.h"
#include "protocol/clock.h"

namespace moddev::daemon {

class LateReplies {
 public:
  /// Beyond limits::kLateReplies it is sent at once.
  void put_off(Transport& transport, Peer peer, Reply reply, TimePoint now) {
    if (waiting_.size() >= limits::kLateReplies) {
      transport.reply(peer, reply);
      return;
    }
    if (waiting_.empty()) due_ = now + limits::kLateReplyDelay;
    waiting_.emplace_back(std::move(peer), std::move(reply));
  }
  void send(Transport& transport) {
    for (const auto& [peer, reply] : waiting_) transport.reply(peer, reply);
    waiting_.clear();
    due_ = kNever;
  }
  /// When they can wait no longer; kNever when there are none.
  [[nodiscard]] TimePoint due() const { return due_; }

 private:
  std::vector<std::pair<Peer, Reply>> waiting_;
  TimePoint due_ = kNever;
};

}  // namespace moddev::daemon
