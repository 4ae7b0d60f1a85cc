// The loop that waits, with real time and threads, around a daemon behind in-process links.
// socket_loop_test.cc has the sockets.
#include "daemon/event_loop.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <csignal>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "daemon/in_process_link.h"
#include "daemon/limits.h"
#include "tests/support/service/daemon_parts.h"
#include "tests/support/service/raw_zmq.h"

namespace moddev::daemon {
namespace {

using testing::await;
using testing::DaemonParts;
using testing::reply_to;

TEST(EventLoop, DrivesADaemonOfTheSameProcessFromAnotherThread) {
  auto transport = std::move(*InProcessTransport::create());
  DaemonParts parts(*transport);
  auto loop = std::move(*EventLoop::create({.signals = false}, parts.clock));
  std::vector<DaemonEvent> events;
  std::thread driver(
      [&] { loop->run(*parts.daemon, [&](const DaemonEvent& event) { events.push_back(event); }); });

  auto link = std::move(*transport->connect());
  link->subscribe("");
  EXPECT_TRUE(await([&] {
    const auto hello = reply_to(*link, HelloRequest{"test"});
    return hello && std::get<HelloReply>(hello->body).committed_epoch == 1;
  }));
  EXPECT_TRUE(await([&] { return link->receive().has_value(); })) << "no heartbeat came";
  loop->stop();
  driver.join();
  ASSERT_GE(events.size(), 2U);
  EXPECT_TRUE(std::holds_alternative<PublishedEvent>(events[0]));
  EXPECT_TRUE(std::holds_alternative<CommittedEvent>(events[1]));

  transport.reset();  // a link may outlive its daemon, and is silent then
  link->send({2, StatusRequest{}});
  EXPECT_FALSE(link->receive());
}

TEST(EventLoop, ManyThreadsAskAtOnce) {
  auto transport = std::move(*InProcessTransport::create());
  DaemonParts parts(*transport);
  auto loop = std::move(*EventLoop::create({.signals = false}, parts.clock));
  std::thread driver([&] { loop->run(*parts.daemon, [](const DaemonEvent&) {}); });
  std::vector<std::future<int>> clients;
  for (int n = 0; n < 4; ++n) {
    clients.push_back(std::async(std::launch::async, [&] {
      auto link = std::move(*transport->connect());
      link->subscribe("");
      int answered = 0;
      for (int i = 0; i < 50; ++i) answered += reply_to(*link, StatusRequest{}) ? 1 : 0;
      return answered;
    }));
  }
  for (auto& client : clients) EXPECT_EQ(client.get(), 50);
  loop->stop();
  driver.join();
}

TEST(EventLoop, ASignalEndsIt) {
  auto transport = std::move(*InProcessTransport::create());
  DaemonParts parts(*transport);
  auto loop = std::move(*EventLoop::create({.signals = true}, parts.clock));
  for (const int signal : {SIGTERM, SIGINT}) {
    // Pending already when run() begins to wait: nothing is lost in between.
    ASSERT_EQ(::pthread_kill(::pthread_self(), signal), 0);
    EXPECT_EQ(loop->run(*parts.daemon, [](const DaemonEvent&) {}), signal);
  }
}

TEST(EventLoop, PutsTheSignalMaskBack) {
  sigset_t before;
  sigset_t during;
  sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  SystemClock clock;
  {
    auto loop = std::move(*EventLoop::create({.signals = true}, clock));
    ::pthread_sigmask(SIG_SETMASK, nullptr, &during);
  }
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(::sigismember(&before, SIGTERM), 0);
  EXPECT_EQ(::sigismember(&during, SIGTERM), 1);
  EXPECT_EQ(::sigismember(&after, SIGTERM), 0);
}

TEST(EventLoop, StopBeforeRunIsNotLost) {
  auto transport = std::move(*InProcessTransport::create());
  DaemonParts parts(*transport);
  auto loop = std::move(*EventLoop::create({.signals = false}, parts.clock));
  loop->stop();
  EXPECT_EQ(loop->run(*parts.daemon, [](const DaemonEvent&) {}), 0);
}

TEST(InProcessLink, QueuesAreBounded) {
  auto transport = std::move(*InProcessTransport::create());
  auto link = std::move(*transport->connect());
  link->subscribe("");
  for (std::size_t n = 0; n < limits::kInProcessQueue + 10; ++n) {
    link->send({n, StatusRequest{}});
    transport->publish({});
  }
  std::size_t requests = 0;
  while (transport->receive()) ++requests;
  std::size_t events = 0;
  while (link->receive()) ++events;
  EXPECT_EQ(requests, limits::kInProcessQueue);
  EXPECT_EQ(events, limits::kInProcessQueue);
}

}  // namespace
}  // namespace moddev::daemon
