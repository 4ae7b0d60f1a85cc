// Connections over which a message comes that never ends, with real sockets and a time of our own.
#include "daemon/stream_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// Both ends of a TCP connection over loopback.
class Streams : public ::testing::Test {
 protected:
  Streams() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener, generic, size), 0);
    EXPECT_EQ(::listen(listener, 1), 0);
    EXPECT_EQ(::getsockname(listener, generic, &size), 0);
    EXPECT_EQ(::connect(theirs, generic, size), 0);
    ours = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    guard.guard(ntohs(address.sin_port));
  }
  ~Streams() override {
    for (const int one : {listener, theirs, ours}) ::close(one);
  }
  /// So many bytes come, and are taken in.
  void come(std::size_t bytes) const {
    std::vector<char> block(64UL * 1024);
    while (bytes > 0) {
      const std::size_t piece = std::min(bytes, block.size());
      ASSERT_EQ(::send(theirs, block.data(), piece, MSG_NOSIGNAL), static_cast<ssize_t>(piece));
      ASSERT_EQ(::recv(ours, block.data(), piece, MSG_WAITALL), static_cast<ssize_t>(piece));
      bytes -= piece;
    }
  }
  std::vector<std::string> look(seconds later = seconds(2)) {
    now += later;
    return guard.look(now);
  }

  TimePoint now{seconds(1'000)};
  int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int theirs = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int ours = -1;
  StreamGuard guard;
};

TEST_F(Streams, WhoseMessageDoesNotEndIsCutOff) {
  EXPECT_THAT(look(), IsEmpty());
  come(limits::kUnfinishedBytes / 2);
  EXPECT_THAT(look(), IsEmpty());
  come(limits::kUnfinishedBytes);
  EXPECT_THAT(look(), ElementsAre("127.0.0.1"));
  char byte = 0;
  EXPECT_EQ(::recv(theirs, &byte, 1, 0), 0) << "it is over";
}

TEST_F(Streams, WhoseMessagesEndMaySendAsManyAsTheyLike) {
  for (int message = 0; message < 5; ++message) {
    come(limits::kUnfinishedBytes - 1);
    guard.delivered(ours);
    EXPECT_THAT(look(), IsEmpty());
  }
}

TEST_F(Streams, WhatTricklesInIsForgiven) {
  come(limits::kUnfinishedBytes);
  EXPECT_THAT(look(), IsEmpty());
  constexpr seconds kHours(10'000);
  come(limits::kTrickle * static_cast<std::uint64_t>(kHours.count()));
  EXPECT_THAT(look(kHours), IsEmpty());
  come(1);
  EXPECT_THAT(look(seconds(0)), IsEmpty()) << "not at once again";
  EXPECT_THAT(look(seconds(100)), IsEmpty()) << "one byte is less than a trickle";
}

TEST_F(Streams, OtherPortsAreNotLookedAt) {
  StreamGuard other;
  EXPECT_EQ(other.due(), kNever);
  other.guard(1);
  come(2 * limits::kUnfinishedBytes);
  EXPECT_THAT(other.look(now), IsEmpty());
  EXPECT_EQ(other.due(), now + limits::kLookFirst);
}

}  // namespace
}  // namespace moddev::daemon
