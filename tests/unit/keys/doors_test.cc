// What is decided about connections before anything is read from them: ZAP's frames and the kernel's table of
// sockets.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/doorkeeper.h"
#include "daemon/socket_owner.h"
#include "daemon/zap.h"
#include "protocol/descriptor.h"

namespace moddev::daemon {
namespace {

const std::vector<std::string> kCurve = {"1.0", "7",     "moddev.key",        "10.0.0.2",
                                         "",    "CURVE", std::string(32, 'k')};

TEST(Zap, ReadsARequestAndEchoesItsId) {
  const auto request = decode_zap(kCurve);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->domain, "moddev.key");
  EXPECT_EQ(request->key, std::string(32, 'k'));
  EXPECT_EQ(zap_welcome(*request, "me"), (std::vector<std::string>{"1.0", "7", "200", "OK", "me", ""}));
  EXPECT_EQ(zap_refusal(*request, "no"), (std::vector<std::string>{"1.0", "7", "400", "no", "", ""}));
}

TEST(Zap, RefusesWhatItDoesNotKnow) {
  for (std::size_t count = 0; count < kCurve.size(); ++count)
    EXPECT_FALSE(decode_zap({kCurve.begin(), kCurve.begin() + static_cast<std::ptrdiff_t>(count)})) << count;
  std::vector<std::string> frames = kCurve;
  frames[0] = "2.0";
  EXPECT_FALSE(decode_zap(frames));
  frames = kCurve;
  frames[6].pop_back();
  EXPECT_FALSE(decode_zap(frames));
  frames = kCurve;
  frames[5] = "PLAIN";
  EXPECT_FALSE(decode_zap(frames));
}

SocketEnd v4(std::uint8_t last, std::uint16_t port) {
  return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, last}, port};
}

// Rows of Linux 6.18: an established connection of user 1000, one that is closing, one over mapped IPv6.
constexpr const char* kTable =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1\n"
    "   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 12 1\n"
    "   2: 0100007F:C351 0100007F:1F90 06 00000000:00000000 03:00000F9B 00000000     0        0 0 3\n"
    "   3: 0000000000000000FFFF00000100007F:C352 0000000000000000FFFF00000100007F:1F90 01 "
    "00000000:00000000 00:00000000 00000000  1001        0 13 1\n"
    "garbage\n";

TEST(SocketTable, TellsTheOwnerOfAnEstablishedConnection) {
  EXPECT_EQ(owner_in_table(kTable, v4(1, 0xC350), v4(1, 0x1F90)), 1000U);
  EXPECT_EQ(owner_in_table(kTable, v4(1, 0xC352), v4(1, 0x1F90)), 1001U);
}

TEST(SocketTable, SaysNothingOfWhatIsClosingOrNotThere) {
  EXPECT_EQ(owner_in_table(kTable, v4(1, 0xC351), v4(1, 0x1F90)), std::nullopt) << "its row says root";
  EXPECT_EQ(owner_in_table(kTable, v4(1, 0x1F90), v4(1, 0xC350)), std::nullopt) << "the wrong way round";
  EXPECT_EQ(owner_in_table(kTable, v4(2, 0xC350), v4(1, 0x1F90)), std::nullopt);
  EXPECT_EQ(owner_in_table("", v4(1, 1), v4(1, 2)), std::nullopt);
}

TEST(SocketTable, KnowsLoopback) {
  EXPECT_TRUE(v4(1, 1).is_loopback());
  EXPECT_TRUE((SocketEnd{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 1}.is_loopback()));
  EXPECT_FALSE((SocketEnd{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}, 1}.is_loopback()));
  EXPECT_FALSE(SocketEnd{}.is_loopback());
}

/// A connection over loopback; the descriptor that was accepted.
struct Loopback {
  Loopback() {
    const Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener.get(), generic, size), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), generic, &size), 0);
    near.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(near.get(), generic, size), 0);
    far.reset(::accept(listener.get(), nullptr, nullptr));
  }
  [[nodiscard]] Origin origin() const { return {"127.0.0.1", "loopback", far.get()}; }

  Descriptor near;
  Descriptor far;
};

SocketEnd end_of(int descriptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return socket_end(address).value_or(SocketEnd{});
}

TEST(SocketOwner, TheKernelTellsWhoseTheOtherEndIs) {
  Loopback connection;
  const SocketEnd client = end_of(connection.near.get());
  const SocketEnd server = end_of(connection.far.get());
  const auto told = owner_from_kernel(client, server);
  EXPECT_EQ(owner_of_peer(connection.far.get()), ::geteuid());
  // A kernel may not answer: then the table does.
  if (!told && told.error().code == ErrorCode::kUnsupported) return;
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_EQ(*told, ::geteuid());
  SocketEnd another = client;
  ++another.port;
  EXPECT_EQ(*owner_from_kernel(another, server), std::nullopt);
  connection.near.reset(-1);
  EXPECT_EQ(*owner_from_kernel(client, server), std::nullopt) << "of what is closing it says root";
  EXPECT_EQ(owner_of_peer(connection.far.get()), std::nullopt);
}

// Where no connection is found the kernel answers with who listens.
TEST(SocketOwner, WhoListensIsNoConnection) {
  const Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  const auto told = owner_from_kernel(end_of(listener.get()), v4(1, 1));
  if (!told && told.error().code == ErrorCode::kUnsupported) return;
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_EQ(*told, std::nullopt);
}

TEST(LoopbackDoor, LetsInWhoIsTheSameUser) {
  const Loopback connection;
  Doorkeeper doorkeeper("", ::geteuid());
  const auto caller = doorkeeper.identify(connection.origin());
  ASSERT_TRUE(caller) << caller.error().message;
  EXPECT_EQ(caller->kind, Caller::Kind::kUser);
}

TEST(LoopbackDoor, TellsOfAnotherUser) {
  const Loopback connection;
  Doorkeeper doorkeeper("", ::geteuid() + 1);
  EXPECT_FALSE(doorkeeper.identify(connection.origin()));
  EXPECT_TRUE(doorkeeper.take_refusal());
}

// A request that was read when its connection had been cut off already is not from a stranger.
TEST(LoopbackDoor, TellsNobodyOfAConnectionThatIsOver) {
  Loopback connection;
  connection.near.reset(-1);
  pollfd waiting{connection.far.get(), POLLRDHUP, 0};
  ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
  Doorkeeper doorkeeper("", ::geteuid());
  EXPECT_FALSE(doorkeeper.identify(connection.origin()));
  EXPECT_FALSE(doorkeeper.take_refusal());
  const Origin gone = connection.origin();
  connection.far.reset(-1);
  EXPECT_FALSE(doorkeeper.identify(gone));
  EXPECT_FALSE(doorkeeper.take_refusal());
}

}  // namespace
}  // namespace moddev::daemon
