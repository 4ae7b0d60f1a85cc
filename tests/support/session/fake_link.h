// A Link without sockets: records what the session sends, and gives it what the test pushes. No thread, no
// time, no loss of its own; a simulation puts those around it.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "protocol/link.h"

namespace moddev::test {

class FakeLink final : public Link {
 public:
  void send(const Request& request) override {
    sent.push_back(request);
    if (on_send) on_send(request);
  }
  void subscribe(const std::string& endpoint) override {
    ++subscriptions;
    subscribed_to = endpoint;
  }
  void reset() override {
    ++resets;
    subscribed_to.clear();
    inbox.clear();
  }
  std::optional<LinkInput> receive() override {
    if (inbox.empty()) return std::nullopt;
    std::optional<LinkInput> input(std::move(inbox.front()));
    inbox.pop_front();
    return input;
  }
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }
  [[nodiscard]] std::optional<Error> problem() const override { return trouble; }

  void push(LinkInput input) { inbox.push_back(std::move(input)); }

  /// Everything sent and not taken by the test, oldest first.
  std::deque<Request> sent;
  /// Called at once for every request; a test that answers here is a daemon without latency.
  std::function<void(const Request&)> on_send;
  std::deque<LinkInput> inbox;
  /// Empty when there is no subscription.
  std::string subscribed_to;
  unsigned subscriptions = 0;
  unsigned resets = 0;
  std::optional<Error> trouble;
};

}  // namespace moddev::test
