// The sockets themselves: who may bind where, plain REQ clients, and what strangers send.
#include "daemon/zmq_transport.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include "daemon/limits.h"
#include "protocol/endpoint.h"
#include "tests/support/service/raw_zmq.h"

namespace moddev::daemon {
namespace {

using testing::await;
using testing::receive_frames;
using testing::send_frames;

class ZmqTransportTest : public ::testing::Test {
 protected:
  std::string ipc() const { return "ipc://" + directory.path() + "/d.sock"; }
  void bind(const std::vector<std::string>& endpoints) {
    auto bound = ZmqTransport::bind(endpoints);
    ASSERT_TRUE(bound) << bound.error().message;
    transport = std::move(*bound);
  }
  zmq::socket_t connect(zmq::socket_type type, const std::string& endpoint) {
    zmq::socket_t socket(context, type);
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::ipv6, true);
    socket.connect(endpoint);
    return socket;
  }
  /// The transport's turn until `socket` has a message.
  Frames answered(zmq::socket_t& socket) {
    std::optional<Frames> frames;
    EXPECT_TRUE(await([&] {
      while (auto request = transport->receive())
        transport->reply(request->peer, {request->request.id, OkReply{}});
      return (frames = receive_frames(socket)).has_value();
    }));
    return frames.value_or(Frames{});
  }
  Reply reply_of(Frames frames, bool delimiter) {
    if (delimiter && !frames.empty()) {
      EXPECT_TRUE(frames.front()->empty());
      frames.erase(frames.begin());
    }
    auto reply = decode_reply(frames);
    EXPECT_TRUE(reply) << reply.error().message;
    return reply ? *reply : Reply{};
  }
  std::string events_told_to(const std::string& endpoint) {
    zmq::socket_t req = connect(zmq::socket_type::req, endpoint);
    send_frames(req, encode(Request{1, HelloRequest{}}), false);
    std::optional<Frames> frames;
    EXPECT_TRUE(await([&] {
      while (auto request = transport->receive()) {
        HelloReply hello;
        hello.events_endpoint = transport->events_endpoint();
        transport->reply(request->peer, {request->request.id, hello});
      }
      return (frames = receive_frames(req)).has_value();
    }));
    return std::get<HelloReply>(reply_of(frames.value_or(Frames{}), false).body).events_endpoint;
  }

  testing::TemporaryDirectory directory;
  zmq::context_t context;
  std::unique_ptr<ZmqTransport> transport;
};

TEST_F(ZmqTransportTest, APlainReqClientIsAnswered) {
  bind({ipc()});
  zmq::socket_t req = connect(zmq::socket_type::req, ipc());
  for (std::uint64_t id = 1; id <= 3; ++id) {
    send_frames(req, encode(Request{id, StatusRequest{}}), false);
    const Reply reply = reply_of(answered(req), false);
    EXPECT_EQ(reply.id, id);
    EXPECT_TRUE(std::holds_alternative<OkReply>(reply.body));
  }
}

TEST_F(ZmqTransportTest, EveryFrameBeforeTheDelimiterGoesBack) {
  bind({ipc()});
  zmq::socket_t dealer = connect(zmq::socket_type::dealer, ipc());
  const Frames request = encode(Request{5, StatusRequest{}});
  send_frames(dealer, std::vector<std::string>{"tag", "more", "", std::string(as_text(*request.at(0)))});
  const Frames frames = answered(dealer);
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_EQ(as_text(*frames[0]), "tag");
  EXPECT_EQ(as_text(*frames[1]), "more");
  EXPECT_TRUE(frames[2]->empty());
  EXPECT_EQ(decode_reply({frames[3]})->id, 5U);
}

/// What an answer cost is counted by whoever sends it, and a peer that does not read costs nothing.
TEST_F(ZmqTransportTest, ItTellsWhichRepliesWereDropped) {
  constexpr std::size_t kAsked = 600;
  bind({ipc()});
  zmq::socket_t dealer(context, zmq::socket_type::dealer);
  dealer.set(zmq::sockopt::linger, 0);
  dealer.set(zmq::sockopt::rcvhwm, 1);
  dealer.connect(ipc());
  for (std::uint64_t id = 1; id <= kAsked; ++id)
    send_frames(dealer, encode(Request{id, StatusRequest{}}), true);
  const SharedBytes bytes = share(Bytes(limits::kChunkBytes));
  std::size_t asked = 0;
  std::size_t handed_on = 0;
  EXPECT_TRUE(await([&] {
    while (auto request = transport->receive()) {
      ++asked;
      BlobReply reply;
      reply.total = bytes->size();
      reply.bytes = bytes;
      if (transport->reply(request->peer, {request->request.id, reply})) ++handed_on;
    }
    return asked == kAsked;
  }));
  EXPECT_GE(handed_on, limits::kReplyQueue);
  EXPECT_LT(handed_on, kAsked / 2) << "nobody reads";
  std::size_t came = 0;
  EXPECT_TRUE(await([&] {
    while (receive_frames(dealer)) ++came;
    return came == handed_on;
  })) << came
      << " came of " << handed_on;
  // Nothing more comes: the next one is the answer to the next request.
  send_frames(dealer, encode(Request{kAsked + 1, StatusRequest{}}), true);
  EXPECT_EQ(reply_of(answered(dealer), true).id, kAsked + 1);
}

TEST_F(ZmqTransportTest, SubscribersOfEpochsAreCounted) {
  bind({ipc()});
  const auto hearers = [&] {
    EXPECT_FALSE(transport->receive());
    return transport->publish({DaemonId{}, 1, HeartbeatEvent{}});
  };
  EXPECT_EQ(hearers(), 0U);
  zmq::socket_t all = connect(zmq::socket_type::sub, transport->events_endpoint());
  all.set(zmq::sockopt::subscribe, "moddev/1/");
  all.set(zmq::sockopt::subscribe, "moddev/1/epoch");
  zmq::socket_t epochs = connect(zmq::socket_type::sub, transport->events_endpoint());
  epochs.set(zmq::sockopt::subscribe, "moddev/1/epoch");
  EXPECT_TRUE(await([&] { return hearers() == 2; })) << "each once, however many topics it names";
  zmq::socket_t beats = connect(zmq::socket_type::sub, transport->events_endpoint());
  beats.set(zmq::sockopt::subscribe, "moddev/1/heartbeat");
  EXPECT_TRUE(await([&] {
    (void)hearers();
    return receive_frames(beats).has_value();
  }));
  EXPECT_EQ(hearers(), 2U);
  all.close();
  EXPECT_TRUE(await([&] { return hearers() == 1; }));
  epochs.close();
  EXPECT_TRUE(await([&] { return hearers() == 0; }));
}

TEST_F(ZmqTransportTest, GarbageIsToldToItsSenderAndServingGoesOn) {
  bind({ipc()});
  zmq::socket_t dealer = connect(zmq::socket_type::dealer, ipc());
  const std::vector<std::vector<std::string>> messages = {
      {"", "not msgpack \xff\xff"},
      {"", ""},
      {""},
      {"", std::string("\xdf\xff\xff\xff\xff", 5)},
      {"no delimiter"},
      {"no", "delimiter", "here"},
  };
  for (const auto& message : messages) {
    send_frames(dealer, message);
    const Reply reply = reply_of(answered(dealer), true);
    ASSERT_TRUE(std::holds_alternative<ErrorReply>(reply.body));
    EXPECT_FALSE(std::get<ErrorReply>(reply.body).message.empty());
  }
  EXPECT_EQ(transport->malformed(), messages.size());
  send_frames(dealer, encode(Request{9, StatusRequest{}}), true);
  EXPECT_EQ(reply_of(answered(dealer), true).id, 9U);
}

TEST_F(ZmqTransportTest, ARequestWithoutDelimiterIsRefusedByItsId) {
  bind({ipc()});
  zmq::socket_t dealer = connect(zmq::socket_type::dealer, ipc());
  send_frames(dealer, encode(Request{1234, StatusRequest{}}), false);
  const Reply reply = reply_of(answered(dealer), true);
  EXPECT_EQ(reply.id, 1234U);
  EXPECT_EQ(std::get<ErrorReply>(reply.body).code, ErrorCode::kInvalidArgument);
}

TEST_F(ZmqTransportTest, FramesOfOneMessageAreBounded) {
  bind({ipc()});
  zmq::socket_t dealer = connect(zmq::socket_type::dealer, ipc());
  std::vector<std::string> endless(20'000, "x");
  endless.front().clear();
  send_frames(dealer, endless);
  const Reply reply = reply_of(answered(dealer), true);
  EXPECT_EQ(std::get<ErrorReply>(reply.body).code, ErrorCode::kLimit);
  EXPECT_NE(std::get<ErrorReply>(reply.body).message.find("kFramesPerMessage"), std::string::npos);
  send_frames(dealer, encode(Request{2, StatusRequest{}}), true);
  EXPECT_EQ(reply_of(answered(dealer), true).id, 2U);
}

/// A REQ socket that numbers its requests drops an answer without the number: it would wait for ever.
TEST_F(ZmqTransportTest, TooManyFramesAreAnsweredWithTheirEnvelope) {
  bind({ipc()});
  zmq::socket_t req = connect(zmq::socket_type::req, ipc());
  req.set(zmq::sockopt::req_correlate, 1);
  req.set(zmq::sockopt::req_relaxed, 1);
  Frames frames = encode(Request{17, StatusRequest{}});
  frames.resize(limits::kFramesPerMessage + 1, share("x"));
  send_frames(req, frames, false);
  const Reply reply = reply_of(answered(req), false);
  EXPECT_EQ(reply.id, 17U);
  EXPECT_EQ(std::get<ErrorReply>(reply.body).code, ErrorCode::kLimit);
}

TEST_F(ZmqTransportTest, AFrameThatIsTooLargeCostsTheConnectionOnly) {
  bind({ipc()});
  zmq::socket_t flood = connect(zmq::socket_type::dealer, ipc());
  send_frames(flood, {"", std::string(limits::kFrameBytes + 1, 'x')});
  zmq::socket_t req = connect(zmq::socket_type::req, ipc());
  send_frames(req, encode(Request{3, StatusRequest{}}), false);
  EXPECT_EQ(reply_of(answered(req), false).id, 3U);
}

TEST_F(ZmqTransportTest, BytesThatAreNoZeroMqHurtNobody) {
  bind({ipc()});
  const int raw = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(raw, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = directory.path() + "/d.sock";
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ASSERT_EQ(::connect(raw, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const std::string http = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  ASSERT_EQ(::send(raw, http.data(), http.size(), MSG_NOSIGNAL), static_cast<ssize_t>(http.size()));
  zmq::socket_t req = connect(zmq::socket_type::req, ipc());
  send_frames(req, encode(Request{4, StatusRequest{}}), false);
  EXPECT_EQ(reply_of(answered(req), false).id, 4U);
  ::close(raw);
}

TEST_F(ZmqTransportTest, ASecondDaemonIsToldWhoIsThere) {
  bind({ipc()});
  const auto second = ZmqTransport::bind({ipc()});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
  EXPECT_NE(second.error().message.find("pid " + std::to_string(::getpid())), std::string::npos)
      << second.error().message;
  // And the first one did not notice.
  zmq::socket_t req = connect(zmq::socket_type::req, ipc());
  send_frames(req, encode(Request{1, StatusRequest{}}), false);
  EXPECT_EQ(reply_of(answered(req), false).id, 1U);
}

TEST_F(ZmqTransportTest, TheSocketsOfOneThatWasKilledAreReplaced) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto bound = ZmqTransport::bind({ipc()});
    ::_exit(bound ? 0 : 1);  // as after SIGKILL: nothing is cleaned up
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  struct stat info {};
  ASSERT_EQ(::lstat((directory.path() + "/d.sock").c_str(), &info), 0)
      << "the child should have left its socket";
  bind({ipc()});
  zmq::socket_t req = connect(zmq::socket_type::req, ipc());
  send_frames(req, encode(Request{1, StatusRequest{}}), false);
  EXPECT_EQ(reply_of(answered(req), false).id, 1U);
}

TEST_F(ZmqTransportTest, AnEndpointIsFreeAsSoonAsItsDaemonEnds) {
  for (int n = 0; n < 20; ++n) {
    bind({ipc()});
    transport.reset();
    EXPECT_NE(::access((directory.path() + "/d.sock").c_str(), F_OK), 0);
  }
  bind({ipc()});
  zmq::socket_t req = connect(zmq::socket_type::req, ipc());
  send_frames(req, encode(Request{1, StatusRequest{}}), false);
  EXPECT_EQ(reply_of(answered(req), false).id, 1U);
}

TEST_F(ZmqTransportTest, OnlyTheUserCanConnect) {
  bind({ipc()});
  for (const char* name : {"/d.sock", "/d.sock-events"}) {
    struct stat info {};
    ASSERT_EQ(::stat((directory.path() + name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U) << name;
  }
}

TEST_F(ZmqTransportTest, ADirectoryThatOthersCanFillIsRefused) {
  ASSERT_EQ(::chmod(directory.path().c_str(), 01777), 0);
  const auto bound = ZmqTransport::bind({ipc()});
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, ErrorCode::kPermission);
  EXPECT_NE(bound.error().message.find("mode 0700"), std::string::npos) << bound.error().message;
}

TEST_F(ZmqTransportTest, AFileInTheWayIsNotRemoved) {
  std::ofstream(directory.path() + "/d.sock") << "precious";
  const auto bound = ZmqTransport::bind({ipc()});
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, ErrorCode::kConflict);
  EXPECT_EQ(::access((directory.path() + "/d.sock").c_str(), F_OK), 0);
}

TEST_F(ZmqTransportTest, OtherMachinesAreNotServedWithoutKeys) {
  for (const char* endpoint : {"tcp://*:*", "tcp://0.0.0.0:*", "tcp://192.0.2.1:7777"}) {
    const auto bound = ZmqTransport::bind({endpoint});
    ASSERT_FALSE(bound) << endpoint;
    EXPECT_EQ(bound.error().code, ErrorCode::kUnsupported);
  }
}

TEST_F(ZmqTransportTest, ATakenPortIsSaid) {
  bind({"tcp://127.0.0.1:*"});
  const auto second = ZmqTransport::bind({transport->endpoint()});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
  EXPECT_NE(second.error().message.find(transport->endpoint()), std::string::npos);
}

TEST_F(ZmqTransportTest, EndpointsAreBoundedAndAtLeastOne) {
  EXPECT_EQ(ZmqTransport::bind({}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ZmqTransport::bind(std::vector<std::string>(limits::kEndpoints + 1, ipc())).error().code,
            ErrorCode::kInvalidArgument);
}

TEST_F(ZmqTransportTest, EachClientIsToldTheEventsOnItsOwnWay) {
  bind({ipc(), "tcp://127.0.0.1:*", "tcp://[::1]:*"});
  ASSERT_EQ(transport->endpoints().size(), 3U);
  EXPECT_EQ(events_told_to(ipc()), ipc() + std::string(kEventsSuffix));
  for (const std::size_t n : {1U, 2U}) {
    const std::string& endpoint = transport->endpoints()[n];
    const std::string told = events_told_to(endpoint);
    ASSERT_TRUE(told.starts_with("tcp://*:")) << told;
    const std::string host = n == 1 ? "127.0.0.1" : "[::1]";
    zmq::socket_t sub =
        connect(zmq::socket_type::sub, "tcp://" + host + told.substr(std::string("tcp://*").size()));
    sub.set(zmq::sockopt::subscribe, "");
    EXPECT_TRUE(await([&] {
      transport->publish({DaemonId{}, 1, CommitEvent{1}});
      (void)transport->receive();
      return receive_frames(sub).has_value();
    })) << endpoint;
  }
}

}  // namespace
}  // namespace moddev::daemon
