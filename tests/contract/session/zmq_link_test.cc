// The link over real sockets, against bare ZeroMQ.
#include "client/src/zmq_link.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "client/src/limits.h"
#include "protocol/codec.h"
#include "tests/support/session/zmq_daemon.h"

namespace moddev::client {
namespace {

using std::chrono::milliseconds;
using test::await;

std::optional<Frames> take(zmq::socket_t& socket) {
  Frames frames;
  for (;;) {
    zmq::message_t part;
    if (!socket.recv(part, zmq::recv_flags::dontwait)) return std::nullopt;
    const auto* data = static_cast<const std::byte*>(part.data());
    frames.push_back(share(Bytes(data, data + part.size())));
    if (!part.more()) return frames;
  }
}

void give(zmq::socket_t& socket, const Frames& frames) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto more = i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
    socket.send(zmq::const_buffer(frames[i]->data(), frames[i]->size()), more);
  }
}

Frames reply_to(const Frames& request, const Reply& reply) {
  Frames frames{request[0], request[1]};
  for (const SharedBytes& frame : encode(reply)) frames.push_back(frame);
  return frames;
}

class Sockets : public ::testing::Test {
 protected:
  Sockets() { bind(); }

  void bind() {
    router = zmq::socket_t(context, zmq::socket_type::router);
    events = zmq::socket_t(context, zmq::socket_type::xpub);
    router.set(zmq::sockopt::linger, 0);
    events.set(zmq::sockopt::linger, 0);
    events.set(zmq::sockopt::xpub_verboser, 1);  // tells of every subscription, also of an equal one
    router.bind(endpoint);
    events.bind(endpoint + "-events");
  }
  std::unique_ptr<ZmqLink> connect() {
    auto link = ZmqLink::connect(endpoint);
    EXPECT_TRUE(link) << link.error().message;
    return std::move(*link);
  }
  /// What the daemon's side gets next.
  Frames request() {
    std::optional<Frames> frames;
    EXPECT_TRUE(await([&] { return (frames = take(router)).has_value(); }));
    return frames.value_or(Frames{});
  }
  static LinkInput input(ZmqLink& link) {
    std::optional<LinkInput> result;
    EXPECT_TRUE(await([&] { return (result = link.receive()).has_value(); }));
    return result.value_or(LinkInput(Reply{}));
  }
  /// Waits on the link's descriptors as an event loop does; false when nothing comes.
  static bool readable(const ZmqLink& link, milliseconds timeout) {
    std::vector<pollfd> waiting;
    for (const int descriptor : link.descriptors()) waiting.push_back({descriptor, POLLIN, 0});
    return ::poll(waiting.data(), waiting.size(), static_cast<int>(timeout.count())) > 0;
  }
  /// Until the subscription has arrived, what is published goes nowhere.
  void await_subscription() {
    zmq::message_t message;
    EXPECT_TRUE(await([&] { return events.recv(message, zmq::recv_flags::dontwait).has_value(); }));
    EXPECT_EQ(message.to_string(), "\x01moddev/1/");
  }

  test::PrivateDirectory directory;
  std::string endpoint = "ipc://" + directory.path() + "/daemon.sock";
  /// Where nobody ever was: a socket that is closed takes its time, and messages with it.
  std::string later_endpoint = "ipc://" + directory.path() + "/later.sock";
  zmq::context_t context;
  zmq::socket_t router;
  zmq::socket_t events;
};

TEST_F(Sockets, ARequestHasTheEmptyDelimiterAndTheReplyComesBack) {
  auto link = connect();
  link->send({5, HelloRequest{"moddev test"}});
  const Frames frames = request();
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_TRUE(frames[1]->empty());
  const auto decoded = decode_request({frames[2]});
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->id, 5U);
  give(router, reply_to(frames, Reply{5, OkReply{}}));
  EXPECT_EQ(std::get<Reply>(input(*link)).id, 5U);
  EXPECT_FALSE(link->receive());
}

TEST_F(Sockets, APieceComesWithItsPayload) {
  auto link = connect();
  link->send({6, BlobRequest{digest_of("x"), 0, 1}});
  const Frames frames = request();
  const Bytes payload(limits::kChunkBytes, std::byte{7});
  give(router, reply_to(frames, Reply{6, BlobReply{digest_of("x"), 0, payload.size(), share(payload)}}));
  const Reply reply = std::get<Reply>(input(*link));
  EXPECT_EQ(*std::get<BlobReply>(reply.body).bytes, payload);
}

TEST_F(Sockets, EventsComeAfterSubscribing) {
  auto link = connect();
  link->subscribe(endpoint + "-events");
  await_subscription();
  Event event;
  event.seq = 9;
  event.body = CommitEvent{4};
  give(events, encode(event));
  const Event received = std::get<Event>(input(*link));
  EXPECT_EQ(received.seq, 9U);
  EXPECT_EQ(std::get<CommitEvent>(received.body).epoch, 4U);
}

TEST_F(Sockets, SubscribingAgainReplacesTheFormerSubscription) {
  auto link = connect();
  link->subscribe(endpoint + "-events");
  await_subscription();
  link->subscribe(endpoint + "-events");
  // One goes, one comes.
  std::vector<std::string> seen;
  zmq::message_t message;
  EXPECT_TRUE(await([&] {
    while (events.recv(message, zmq::recv_flags::dontwait)) seen.push_back(message.to_string());
    return seen.size() == 2;
  }));
  give(events, encode(Event{{}, 1, CommitEvent{1}}));
  EXPECT_TRUE(std::holds_alternative<Event>(input(*link)));
  EXPECT_FALSE(link->receive());
}

TEST_F(Sockets, TheDescriptorsWakeForRepliesAndEvents) {
  auto link = connect();
  link->subscribe(endpoint + "-events");
  await_subscription();
  link->send({1, HelloRequest{}});
  const Frames frames = request();
  while (link->receive()) {
  }
  while (readable(*link, milliseconds(20))) link->receive();  // whatever the handshakes left
  give(router, reply_to(frames, Reply{1, OkReply{}}));
  EXPECT_TRUE(readable(*link, milliseconds(5000)));
  input(*link);
  while (link->receive()) {
  }
  give(events, encode(Event{{}, 1, CommitEvent{1}}));
  EXPECT_TRUE(readable(*link, milliseconds(5000)));
  EXPECT_TRUE(std::holds_alternative<Event>(input(*link)));
}

// The wake-up for a reply that arrives while we send is swallowed by the send; who calls receive() after his
// last send still gets it at once.
TEST_F(Sockets, AReplyThatArrivesDuringASendIsNotOverlooked) {
  auto link = connect();
  for (std::uint64_t id = 1; id <= 200; ++id) {
    link->send({2 * id, HelloRequest{}});
    const Frames frames = request();
    give(router, reply_to(frames, Reply{2 * id, OkReply{}}));
    link->send({2 * id + 1, HelloRequest{}});
    const Frames second = request();
    give(router, reply_to(second, Reply{2 * id + 1, OkReply{}}));
    unsigned replies = 0;
    while (link->receive()) ++replies;
    while (replies < 2 && readable(*link, milliseconds(5000))) {
      while (link->receive()) ++replies;
    }
    ASSERT_EQ(replies, 2U) << id;
  }
}

TEST_F(Sockets, AResetDropsWhatWasInFlightAndConnectsAnew) {
  auto link = connect();
  link->send({1, HelloRequest{}});
  const Frames frames = request();
  link->reset();
  link->send({2, HelloRequest{}});
  const Frames second = request();
  EXPECT_NE(*second[0], *frames[0]);  // another connection
  give(router, reply_to(frames, Reply{1, OkReply{}}));
  give(router, reply_to(second, Reply{2, OkReply{}}));
  EXPECT_EQ(std::get<Reply>(input(*link)).id, 2U);
  EXPECT_FALSE(link->receive());
}

TEST_F(Sockets, ADaemonThatStartsLaterIsReached) {
  endpoint = later_endpoint;
  auto link = connect();
  link->send({1, HelloRequest{}});
  EXPECT_FALSE(link->receive());
  bind();
  const Frames frames = request();
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_EQ(decode_request({frames[2]})->id, 1U);
}

TEST_F(Sockets, SendingToNobodyNeverWaitsAndIsBounded) {
  endpoint = later_endpoint;
  auto link = connect();
  for (std::uint64_t id = 1; id <= 10'000; ++id) link->send({id, HelloRequest{"x"}});
  bind();
  std::size_t arrived = 0;
  EXPECT_TRUE(await([&] {
    while (take(router)) ++arrived;
    return arrived >= static_cast<std::size_t>(limits::kRequestQueue);
  }));
  // They came in order, so what is sent now comes after the last of them; until there is room it is dropped.
  EXPECT_TRUE(await([&] {
    link->send({10'001, HelloRequest{"last"}});
    const auto frames = take(router);
    if (!frames) return false;
    if (decode_request({(*frames)[2]})->id == 10'001) return true;
    ++arrived;
    return false;
  }));
  EXPECT_LE(arrived, 2 * static_cast<std::size_t>(limits::kRequestQueue));
}

TEST_F(Sockets, GarbageIsCountedAndDropped) {
  auto link = connect();
  link->send({1, HelloRequest{}});
  const Frames frames = request();
  link->subscribe(endpoint + "-events");
  await_subscription();
  give(router, {frames[0], frames[1], share("garbage")});
  give(router, {frames[0], share("no delimiter")});
  Frames many{frames[0], frames[1]};
  for (std::size_t i = 0; i < limits::kFramesPerMessage + 5; ++i) many.push_back(share("x"));
  give(router, many);
  give(events, {share(kEpochTopic), share("garbage")});
  give(router, reply_to(frames, Reply{1, OkReply{}}));
  EXPECT_EQ(std::get<Reply>(input(*link)).id, 1U);
  EXPECT_TRUE(await([&] {
    EXPECT_FALSE(link->receive());
    return link->malformed() == 4;
  }));
}

TEST_F(Sockets, ADirectoryThatOthersCanWriteToIsNotTrusted) {
  ASSERT_EQ(::chmod(directory.path().c_str(), 0777), 0);
  auto link = connect();
  link->send({1, HelloRequest{}});
  ::poll(nullptr, 0, 50);
  EXPECT_FALSE(take(router));
  ASSERT_TRUE(link->problem());
  EXPECT_EQ(link->problem()->code, ErrorCode::kPermission);
  ASSERT_EQ(::chmod(directory.path().c_str(), 0700), 0);
  link->send({2, HelloRequest{}});
  EXPECT_EQ(decode_request({request()[2]})->id, 2U);
  EXPECT_FALSE(link->problem());
}

TEST_F(Sockets, ADirectoryThatIsMadeLaterIsFound) {
  endpoint = "ipc://" + directory.path() + "/later/daemon.sock";
  auto link = connect();
  link->send({1, HelloRequest{}});
  ASSERT_TRUE(link->problem());
  std::filesystem::create_directory(directory.path() + "/later");
  std::filesystem::permissions(directory.path() + "/later", std::filesystem::perms::owner_all);
  bind();
  link->send({2, HelloRequest{}});
  EXPECT_EQ(decode_request({request()[2]})->id, 2U);
}

TEST(Connecting, WhatCannotBeReachedIsRefused) {
  for (const char* endpoint : {"", "nonsense", "tcp://*:5555", "tcp://127.0.0.1:*", "ipc://@abstract"}) {
    const auto link = ZmqLink::connect(endpoint);
    ASSERT_FALSE(link) << endpoint;
    EXPECT_EQ(link.error().code, ErrorCode::kInvalidArgument) << endpoint;
  }
}

TEST(Connecting, AKeyThatWasNamedHasToBeUsableWhereKeysAreUsed) {
  const test::PrivateDirectory directory;
  const KeyChoice missing{directory.path() + "/nosuch", "--key"};
  const auto link = ZmqLink::connect("tcp://10.0.0.1:7070", missing);
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().code, ErrorCode::kPermission);
  EXPECT_NE(link.error().message.find("moddev keygen"), std::string::npos) << link.error().message;
  EXPECT_TRUE(ZmqLink::connect("ipc://" + directory.path() + "/d.sock", missing)) << "no key is used there";
}

TEST(Connecting, WorksOverTcp) {
  zmq::context_t context;
  zmq::socket_t router(context, zmq::socket_type::router);
  router.bind("tcp://127.0.0.1:*");
  auto link = ZmqLink::connect(router.get(zmq::sockopt::last_endpoint));
  ASSERT_TRUE(link) << link.error().message;
  (*link)->send({3, HelloRequest{}});
  std::optional<Frames> frames;
  ASSERT_TRUE(await([&] { return (frames = take(router)).has_value(); }));
  EXPECT_EQ(decode_request({(*frames)[2]})->id, 3U);
}

/// A port of loopback where connections are accepted and closed at once, as by a firewall in between.
class HangingUp {
 public:
  HangingUp() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const int yes = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    endpoint_ = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~HangingUp() { ::close(listener_); }
  HangingUp(const HangingUp&) = delete;
  HangingUp& operator=(const HangingUp&) = delete;
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  /// Waits for one. False when none comes.
  [[nodiscard]] bool hang_up_on_one() const {
    pollfd waiting{listener_, POLLIN, 0};
    if (::poll(&waiting, 1, 10'000) != 1) return false;
    return ::close(::accept(listener_, nullptr, nullptr)) == 0;
  }

 private:
  int listener_;
  std::string endpoint_;
};

// The socket that is given up may fail in its handshake at that very moment; libzmq's only io thread must not
// wait for somebody to read that.
TEST(Connecting, AResetWhileTheHandshakeFailsDoesNotStopTheLink) {
  auto firewall = std::make_unique<HangingUp>();
  const std::string endpoint = firewall->endpoint();
  auto link = ZmqLink::connect(endpoint);
  ASSERT_TRUE(link) << link.error().message;
  for (int round = 0; round < 500; ++round) {
    ASSERT_TRUE(firewall->hang_up_on_one()) << "after " << round << " resets nothing connects any more";
    (*link)->reset();
  }
  firewall.reset();
  zmq::context_t context;
  zmq::socket_t router(context, zmq::socket_type::router);
  router.set(zmq::sockopt::linger, 0);
  ASSERT_TRUE(await([&] { return zmq_bind(router.handle(), endpoint.c_str()) == 0; }));
  std::optional<Frames> frames;
  EXPECT_TRUE(await([&] {
    (*link)->send({3, HelloRequest{}});
    while ((*link)->receive()) {
    }
    return (frames = take(router)).has_value();
  }));
}

}  // namespace
}  // namespace moddev::client
