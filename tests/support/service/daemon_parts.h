// A whole daemon without disk, for tests that drive it with an event loop.
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "daemon/daemon.h"
#include "protocol/link.h"
#include "tests/support/service/raw_zmq.h"
#include "tests/support/service/scripted_feed.h"

namespace moddev::daemon::testing {

/// A daemon with one module "m" in its directory, and what it needs.
struct DaemonParts {
  explicit DaemonParts(Transport& transport) {
    feed.write(blobs, {{"m", "bytes"}}, TimePoint{});
    auto opened = Journal::open(":memory:", clock.wall_now());
    if (!opened) throw std::runtime_error(opened.error().message);
    journal = std::move(*opened);
    daemon = std::make_unique<Daemon>(DaemonOptions{}, feed, blobs, *journal, transport);
  }
  SystemClock clock;
  testing::ScriptedFeed feed;
  MemoryBlobStore blobs;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Daemon> daemon;
};

/// Sends `body` and waits for an answer.
inline std::optional<Reply> reply_to(Link& link, RequestBody body) {
  link.send({1, std::move(body)});
  std::optional<Reply> reply;
  await([&] {
    while (auto input = link.receive()) {
      if (auto* got = std::get_if<Reply>(&*input)) reply = *got;
    }
    return reply.has_value();
  });
  return reply;
}

}  // namespace moddev::daemon::testing
