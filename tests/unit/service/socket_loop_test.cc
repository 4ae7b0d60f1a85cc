// The loop around sockets. Apart from event_loop_test.cc because the thread sanitizer does not know libzmq's
// own synchronisation.
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "daemon/event_loop.h"
#include "daemon/zmq_transport.h"
#include "tests/support/service/daemon_parts.h"

namespace moddev::daemon {
namespace {

using testing::DaemonParts;
using testing::reply_to;

TEST(SocketLoop, ServesOverSocketsWithoutSleepingThroughARequest) {
  const testing::TemporaryDirectory directory;
  const std::string endpoint = "ipc://" + directory.path() + "/d.sock";
  auto transport = std::move(*ZmqTransport::bind({endpoint}));
  DaemonParts parts(*transport);
  auto loop = std::move(*EventLoop::create({.signals = false}, parts.clock));
  std::thread driver([&] { loop->run(*parts.daemon, [](const DaemonEvent&) {}); });
  const auto link = testing::raw_zmq_link(endpoint);
  // A lost wake-up would cost up to a heartbeat each; 200 of them would be noticed.
  const auto start = std::chrono::steady_clock::now();
  for (int n = 0; n < 200; ++n) {
    ASSERT_TRUE(reply_to(*link, StatusRequest{}));
    link->send({7, StatusRequest{}});
    link->send({8, StatusRequest{}});
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  loop->stop();
  driver.join();
}

}  // namespace
}  // namespace moddev::daemon
