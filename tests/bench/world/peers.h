// The raw primitives beside edit_to_live, each in processes of its own.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "tests/bench/world/board.h"

namespace moddev::bench {

/// Waits in `directory` for inotify's news that a file was closed or renamed there, and reports each to the
/// board. Ends only by a signal; returns an exit code when it cannot begin.
int listen_to_inotify(const std::string& directory, Board& board, std::size_t slot);

/// Waits at `endpoint` for what a PUB socket sends, and reports each message to the board.
int listen_to_pub(const std::string& endpoint, Board& board, std::size_t slot);

/// The other side.
class RawPublisher {
 public:
  explicit RawPublisher(const std::string& endpoint);
  ~RawPublisher();
  void send(std::int64_t number, std::span<const char> payload);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moddev::bench
