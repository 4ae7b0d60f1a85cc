// What every Transport promises, on each of them: the real one, the one within a process, and the fake.
#include <gtest/gtest.h>
#include <poll.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/in_process_link.h"
#include "daemon/limits.h"
#include "daemon/zmq_transport.h"
#include "tests/support/service/fake_transport.h"
#include "tests/support/service/raw_zmq.h"

namespace moddev::daemon {
namespace {

using testing::await;
using testing::TemporaryDirectory;

/// A transport and the way to make clients of it.
struct Bench {
  std::unique_ptr<Transport> transport;
  std::function<std::unique_ptr<Link>()> connect;
};

Bench zmq_bench(const std::vector<std::string>& endpoints) {
  auto transport = ZmqTransport::bind(endpoints);
  if (!transport) throw std::runtime_error(transport.error().message);
  const std::string endpoint = (*transport)->endpoint();
  return {std::move(*transport), [endpoint] { return testing::raw_zmq_link(endpoint); }};
}

struct Kind {
  const char* name;
  std::function<Bench(const TemporaryDirectory&)> make;
};

const Kind kKinds[] = {
    {"Ipc", [](const TemporaryDirectory& d) { return zmq_bench({"ipc://" + d.path() + "/sub/a.sock"}); }},
    {"Tcp", [](const TemporaryDirectory&) { return zmq_bench({"tcp://127.0.0.1:*"}); }},
    {"InProcess",
     [](const TemporaryDirectory&) {
       auto transport = std::move(*InProcessTransport::create());
       InProcessTransport* raw = transport.get();
       return Bench{std::move(transport), [raw] { return std::move(*raw->connect()); }};
     }},
    {"Fake",
     [](const TemporaryDirectory&) {
       auto transport = std::make_unique<testing::FakeTransport>();
       testing::FakeTransport* raw = transport.get();
       return Bench{std::move(transport), [raw] { return raw->connect(); }};
     }},
};

class TransportContract : public ::testing::TestWithParam<Kind> {
 protected:
  IncomingRequest next_request() {
    std::optional<IncomingRequest> request;
    EXPECT_TRUE(await([&] { return (request = bench.transport->receive()).has_value(); }));
    return request.value_or(IncomingRequest{});
  }
  static std::optional<LinkInput> next(Link& link) {
    std::optional<LinkInput> input;
    EXPECT_TRUE(await([&] { return (input = link.receive()).has_value(); }));
    return input;
  }
  Reply next_reply(Link& link) { return std::get<Reply>(next(link).value()); }
  Event event(std::uint64_t seq, decltype(Event::body) body) { return {daemon, seq, std::move(body)}; }
  /// Returns when events reach `link`.
  void subscribe(Link& link) {
    link.subscribe(bench.transport->events_endpoint());
    ASSERT_TRUE(await([&] {
      (void)bench.transport->receive();
      bench.transport->publish(event(0, HeartbeatEvent{}));
      return link.receive().has_value();
    }));
    // Those that are still under way.
    bench.transport->publish(event(0, AbortEvent{77, {}}));
    ASSERT_TRUE(await([&] {
      const auto input = link.receive();
      return input && std::holds_alternative<AbortEvent>(std::get<Event>(*input).body);
    }));
  }

  TemporaryDirectory directory;
  Bench bench = GetParam().make(directory);
  DaemonId daemon{Uuid::random(), Uuid::random()};
};

TEST_P(TransportContract, NothingComesFromNothing) {
  EXPECT_FALSE(bench.transport->receive());
  EXPECT_FALSE(bench.transport->pending());
  EXPECT_FALSE(bench.transport->endpoint().empty());
  EXPECT_FALSE(bench.transport->events_endpoint().empty());
}

TEST_P(TransportContract, EachGetsItsOwnReply) {
  const auto a = bench.connect();
  const auto b = bench.connect();
  a->send({7, HelloRequest{"a"}});
  b->send({7, HelloRequest{"b"}});
  for (int n = 0; n < 2; ++n) {
    const IncomingRequest request = next_request();
    EXPECT_EQ(request.request.id, 7U);
    const std::string who = std::get<HelloRequest>(request.request.body).software;
    bench.transport->reply(request.peer, {request.request.id, ErrorReply{ErrorCode::kRefused, who, 0}});
  }
  EXPECT_EQ(std::get<ErrorReply>(next_reply(*a).body).message, "a");
  EXPECT_EQ(std::get<ErrorReply>(next_reply(*b).body).message, "b");
  EXPECT_FALSE(a->receive());
  EXPECT_FALSE(b->receive());
}

TEST_P(TransportContract, PipelinedRequestsKeepTheirOrder) {
  const auto link = bench.connect();
  constexpr std::uint64_t kCount = 50;
  for (std::uint64_t id = 1; id <= kCount; ++id) link->send({id, StatusRequest{}});
  for (std::uint64_t id = 1; id <= kCount; ++id) {
    const IncomingRequest request = next_request();
    EXPECT_EQ(request.request.id, id);
    bench.transport->reply(request.peer, {id, OkReply{}});
  }
  for (std::uint64_t id = 1; id <= kCount; ++id) EXPECT_EQ(next_reply(*link).id, id);
}

TEST_P(TransportContract, PendingTellsWhetherReceiveHasSomething) {
  const auto link = bench.connect();
  link->send({1, StatusRequest{}});
  ASSERT_TRUE(await([&] { return bench.transport->pending(); }));
  EXPECT_TRUE(bench.transport->pending());
  EXPECT_TRUE(bench.transport->receive());
  EXPECT_FALSE(bench.transport->pending());
}

TEST_P(TransportContract, ADescriptorWakesWhenARequestComes) {
  const std::vector<int> descriptors = bench.transport->descriptors();
  if (descriptors.empty()) GTEST_SKIP() << "nothing to wait on";
  while (bench.transport->receive()) {
  }
  const auto link = bench.connect();
  link->send({1, StatusRequest{}});
  std::vector<pollfd> polled;
  for (const int descriptor : descriptors) polled.push_back({descriptor, POLLIN, 0});
  bool received = false;
  for (int wakes = 0; wakes < 100 && !received; ++wakes) {
    ASSERT_GT(::poll(polled.data(), polled.size(), 10'000), 0) << "slept through it";
    received = bench.transport->receive().has_value();
  }
  EXPECT_TRUE(received);
}

TEST_P(TransportContract, AReplyToOneThatIsGoneIsDropped) {
  auto link = bench.connect();
  link->send({1, StatusRequest{}});
  const IncomingRequest request = next_request();
  link.reset();
  bench.transport->reply(request.peer, {1, OkReply{}});
  const auto other = bench.connect();
  other->send({2, StatusRequest{}});
  const IncomingRequest second = next_request();
  bench.transport->reply(second.peer, {2, OkReply{}});
  bench.transport->reply(request.peer, {1, OkReply{}});
  EXPECT_EQ(next_reply(*other).id, 2U);
}

TEST_P(TransportContract, AWholePieceOfABlobArrives) {
  const auto link = bench.connect();
  link->send({1, StatusRequest{}});
  const IncomingRequest request = next_request();
  Bytes bytes(limits::kChunkBytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31);
  {
    const SharedBytes shared = share(bytes);
    bench.transport->reply(request.peer, {1, BlobReply{digest_of(bytes), 3, 9'000'000, shared}});
  }
  const Reply reply = next_reply(*link);
  const auto& blob = std::get<BlobReply>(reply.body);
  EXPECT_EQ(blob.offset, 3U);
  EXPECT_EQ(blob.total, 9'000'000U);
  EXPECT_EQ(*blob.bytes, bytes);
}

TEST_P(TransportContract, SubscribersGetEventsInOrderWithTheirBytes) {
  const auto a = bench.connect();
  const auto b = bench.connect();
  subscribe(*a);
  subscribe(*b);
  const SharedBytes small = share("small");
  const SharedBytes large = share(Bytes(limits::kInlineModuleBytes, std::byte{5}));
  AnnounceEvent announce;
  announce.epoch = 4;
  announce.base = 3;
  announce.inline_blobs = {{digest_of(*small), small}, {digest_of(*large), large}};
  bench.transport->publish(event(10, announce));
  bench.transport->publish(event(11, CommitEvent{4}));
  bench.transport->publish(event(11, HeartbeatEvent{4, 4}));
  for (Link* link : {a.get(), b.get()}) {
    std::vector<Event> events;
    ASSERT_TRUE(await([&] {
      while (auto input = link->receive()) {
        Event got = std::get<Event>(*input);
        if (got.seq >= 10) events.push_back(std::move(got));
      }
      return events.size() >= 3;
    }));
    ASSERT_EQ(events.size(), 3U);
    EXPECT_EQ(events[0].daemon, daemon);
    const auto& got = std::get<AnnounceEvent>(events[0].body);
    EXPECT_EQ(got.epoch, 4U);
    ASSERT_EQ(got.inline_blobs.size(), 2U);
    EXPECT_EQ(*got.inline_blobs[0].bytes, *small);
    EXPECT_EQ(*got.inline_blobs[1].bytes, *large);
    EXPECT_EQ(std::get<CommitEvent>(events[1].body).epoch, 4U);
    EXPECT_EQ(std::get<HeartbeatEvent>(events[2].body).committed_epoch, 4U);
  }
}

TEST_P(TransportContract, OneThatDidNotSubscribeGetsNoEvents) {
  const auto subscriber = bench.connect();
  const auto other = bench.connect();
  subscribe(*subscriber);
  bench.transport->publish(event(1, CommitEvent{1}));
  next(*subscriber);
  EXPECT_FALSE(other->receive());
}

TEST_P(TransportContract, AResetLinkForgetsWhatWasUnderWay) {
  const auto link = bench.connect();
  link->send({1, StatusRequest{}});
  const IncomingRequest request = next_request();
  bench.transport->reply(request.peer, {1, OkReply{}});
  link->reset();
  link->send({2, StatusRequest{}});
  const IncomingRequest second = next_request();
  bench.transport->reply(second.peer, {2, OkReply{}});
  EXPECT_EQ(next_reply(*link).id, 2U);
}

INSTANTIATE_TEST_SUITE_P(All, TransportContract, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace moddev::daemon
