// What the codec promises beyond the golden bytes: fields survive, strangers' bytes are refused with the
// right code, limits hold on both sides, and versions meet.
#include "protocol/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <msgpack.hpp>

#include "protocol/limits.h"
#include "tests/support/protocol/sample_messages.h"

namespace moddev {
namespace {

using ::testing::HasSubstr;

/// A header written by hand.
class Hand {
 public:
  explicit Hand(std::size_t pairs) : packer_(buffer_) { packer_.pack_map(static_cast<std::uint32_t>(pairs)); }
  template <typename T>
  Hand& add(std::string_view key, const T& value) {
    packer_.pack(std::string(key));
    packer_.pack(value);
    return *this;
  }
  Hand& raw(std::string_view bytes) {
    buffer_.write(bytes.data(), bytes.size());
    return *this;
  }
  [[nodiscard]] Frames frames() const { return {share(std::string_view(buffer_.data(), buffer_.size()))}; }

 private:
  msgpack::sbuffer buffer_;
  msgpack::packer<msgpack::sbuffer> packer_;
};

ErrorCode code_of_request(const Frames& frames) {
  const auto decoded = decode_request(frames);
  return decoded.ok() ? ErrorCode::kInternal : decoded.error().code;
}

TEST(Codec, RequestsKeepTheirFields) {
  for (const auto& [name, message] : test::sample_requests()) {
    SCOPED_TRACE(name);
    const auto decoded = decode_request(encode(message));
    ASSERT_TRUE(decoded.ok()) << decoded.error().message;
    EXPECT_EQ(decoded->id, message.id);
    EXPECT_TRUE(decoded->body == message.body);
  }
}

TEST(Codec, AnnouncementsKeepTheirFieldsAndBytes) {
  const auto sample = test::sample_events()[1].second;
  const auto decoded = decode_event(encode(sample));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->daemon, sample.daemon);
  EXPECT_EQ(decoded->seq, sample.seq);
  const auto& got = std::get<AnnounceEvent>(decoded->body);
  const auto& sent = std::get<AnnounceEvent>(sample.body);
  EXPECT_EQ(got.changes, sent.changes);
  EXPECT_EQ(got.manifest_digest, sent.manifest_digest);
  ASSERT_EQ(got.inline_blobs.size(), 2U);
  EXPECT_EQ(*got.inline_blobs[0].bytes, *sent.inline_blobs[0].bytes);
  EXPECT_TRUE(got.inline_blobs[1].bytes->empty());
}

TEST(Codec, StatementsAreOfOneSize) {
  for (const std::size_t size :
       {std::size_t{0}, SignedStatement::kBytes - 1, SignedStatement::kBytes, SignedStatement::kBytes + 1}) {
    const std::vector<char> bytes(size, 'x');  // a msgpack bin
    auto frames = Hand(8)
                      .add("v", 1)
                      .add("type", std::string("heartbeat"))
                      .add("repo", std::vector<char>(16))
                      .add("incarnation", std::vector<char>(16))
                      .add("seq", 1)
                      .add("epoch", 1)
                      .add("committed_epoch", 1)
                      .add("statement", bytes)
                      .frames();
    frames.insert(frames.begin(), share(kHeartbeatTopic));
    EXPECT_EQ(decode_event(frames).ok(), size == SignedStatement::kBytes) << size;
  }
}

TEST(Codec, PayloadFramesAreLentNotCopied) {
  const SharedBytes bytes = share("payload");
  const Frames frames = encode(Reply{1, BlobReply{test::sample_digest(1), 0, 7, bytes}});
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[1].get(), bytes.get());
  const auto decoded = decode_reply(frames);
  EXPECT_EQ(std::get<BlobReply>(decoded->body).bytes.get(), bytes.get());
}

TEST(Codec, TopicsTellEpochsFromHeartbeats) {
  for (const auto& [name, event] : test::sample_events()) {
    const bool heartbeat = std::holds_alternative<HeartbeatEvent>(event.body);
    EXPECT_EQ(as_text(*encode(event)[0]), heartbeat ? kHeartbeatTopic : kEpochTopic) << name;
  }
}

TEST(Codec, AnotherVersionIsToldBothNumbersAndItsId) {
  const Frames frames = Hand(3).add("v", 2).add("id", 77).add("type", "hello").frames();
  const auto decoded = decode_request(frames);
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(decoded.error().message, HasSubstr("version 2"));
  EXPECT_THAT(decoded.error().message, HasSubstr("version 1"));
  EXPECT_EQ(request_id_of(*frames[0]), 77U);
}

/// A peer of another version may send what this one refuses; it is told so all the same, and its id.
TEST(Codec, AnotherVersionIsToldWhateverElseItSends) {
  const std::string extension(
      "\xc7\x03\x05"
      "abc",
      6);
  const std::string deep = std::string(60, '\x91') + '\xc0';
  const std::string infinity("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", 9);
  const auto envelope = [](Hand&& hand) -> Hand& {
    return hand.add("v", 2).add("id", 77).add("type", "hello");
  };
  std::vector<std::pair<std::string, Frames>> requests;
  requests.emplace_back("extension", envelope(Hand(4)).raw("\xa1x" + extension).frames());
  requests.emplace_back("extension first",
                        Hand(3).raw("\xa1x" + extension).add("v", 2).add("id", 77).frames());
  requests.emplace_back("nesting", envelope(Hand(4)).raw("\xa1x" + deep).frames());
  requests.emplace_back("nesting first", Hand(3).raw("\xa1x" + deep).add("id", 77).add("v", 2).frames());
  requests.emplace_back("other keys",
                        Hand(4).raw(infinity + "\xc3").raw("\x07" + deep).add("id", 77).add("v", 2).frames());
  requests.emplace_back("bytes behind", envelope(Hand(3)).raw("\xc0").frames());
  requests.emplace_back("cut off", envelope(Hand(9)).frames());
  Hand many(103);
  for (int i = 0; i < 100; ++i) many.add("key" + std::to_string(i), i);
  requests.emplace_back("pairs", envelope(std::move(many)).frames());
  requests.emplace_back("payload", envelope(Hand(3)).frames());
  requests.back().second.push_back(share("bytes"));
  const std::vector<char> large(limits::kRequestHeaderBytes, 'x');
  requests.emplace_back("size", envelope(Hand(4)).add("more", large).frames());
  for (const auto& [what, frames] : requests) {
    SCOPED_TRACE(what);
    EXPECT_EQ(code_of_request(frames), ErrorCode::kUnsupported);
    EXPECT_EQ(request_id_of(*frames[0]), 77U);
  }
}

/// What goes beyond the limits of this version in a request of this version is still told with its id.
TEST(Codec, ARequestBeyondALimitIsToldWithItsId) {
  const Frames frames = Hand(4).add("v", 1).add("id", 77).add("type", "hello").raw("\xa1x\xd4\x01y").frames();
  EXPECT_EQ(code_of_request(frames), ErrorCode::kLimit);
  EXPECT_EQ(request_id_of(*frames[0]), 77U);
}

/// The envelope is looked for in what may be anything: not further than so deep, and not beyond the limit.
TEST(Codec, LookingForTheEnvelopeIsBounded) {
  const std::string abyss(1'000'000, '\x91');
  EXPECT_EQ(request_id_of(*Hand(2).raw("\xa1x" + abyss).frames()[0]), 0U);
  EXPECT_EQ(request_id_of(*Hand(2).raw("\xa1x\x81\xa2id\x07").add("id", 5).frames()[0]), 5U)
      << "that of the message, not of a map inside";
  const std::vector<char> large(limits::kRequestHeaderBytes, 'x');
  EXPECT_EQ(request_id_of(*Hand(2).add("x", large).add("id", 5).frames()[0]), 0U);
}

TEST(Codec, AnErrorOfAnotherVersionIsReadWhateverElseItHas) {
  const auto envelope = [](Hand&& hand) -> Hand& {
    return hand.add("v", 2).add("id", 4).add("type", "error");
  };
  Frames error = envelope(Hand(6))
                     .raw("\xa1x\xd4\x01y")
                     .add("code", "unsupported")
                     .add("message", std::string(2 * limits::kTextBytes, 'm') + "\xff")
                     .frames();
  error.push_back(share("a payload"));
  error.push_back(share("and another"));
  const auto decoded = decode_reply(error);
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_EQ(decoded->id, 4U);
  EXPECT_EQ(std::get<ErrorReply>(decoded->body).code, ErrorCode::kUnsupported);
  EXPECT_EQ(std::get<ErrorReply>(decoded->body).message.size(), limits::kTextBytes);

  const auto other = decode_reply(envelope(Hand(3)).frames());
  EXPECT_TRUE(other.ok()) << "an error without a word is an error";
  const auto reply =
      decode_reply(Hand(4).add("v", 2).add("id", 4).add("type", "ok").raw("\xa1x\xd4\x01y").frames());
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(reply.error().message, HasSubstr("version 2"));
}

TEST(Codec, AnErrorIsReadInEveryVersionOtherRepliesAreNot) {
  const Frames error = Hand(5)
                           .add("v", 9)
                           .add("id", 4)
                           .add("type", "error")
                           .add("code", "new_code")
                           .add("message", "no")
                           .frames();
  const auto decoded = decode_reply(error);
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_EQ(decoded->id, 4U);
  EXPECT_EQ(std::get<ErrorReply>(decoded->body).code, ErrorCode::kInternal);
  EXPECT_EQ(std::get<ErrorReply>(decoded->body).message, "no");

  const auto other = decode_reply(Hand(3).add("v", 9).add("id", 4).add("type", "ok").frames());
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, ErrorCode::kUnsupported);
}

TEST(Codec, UnknownKeysAreIgnored) {
  const auto decoded =
      decode_request(Hand(4).add("v", 1).add("id", 5).add("colour", "red").add("type", "status").frames());
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_TRUE(std::holds_alternative<StatusRequest>(decoded->body));
}

TEST(Codec, UnknownTypesAreUnsupported) {
  EXPECT_EQ(code_of_request(Hand(3).add("v", 1).add("id", 5).add("type", "dance").frames()),
            ErrorCode::kUnsupported);
}

TEST(Codec, MissingKeysAreNamed) {
  const auto decoded = decode_request(Hand(3).add("v", 1).add("id", 5).add("type", "manifest").frames());
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(decoded.error().message, HasSubstr("'epoch'"));
}

TEST(Codec, WrongTypesAreCorrupt) {
  const auto manifest = [](auto epoch) {
    return Hand(4).add("v", 1).add("id", 5).add("type", "manifest").add("epoch", epoch).frames();
  };
  EXPECT_EQ(code_of_request(manifest("seven")), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of_request(manifest(-7)), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of_request(manifest(7.5)), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of_request(manifest(std::vector<int>{7})), ErrorCode::kCorrupt);
  EXPECT_TRUE(decode_request(manifest(7)).ok());
}

TEST(Codec, OptionalKeysOfAModuleRequestMayBeLeftOut) {
  const auto decoded =
      decode_request(Hand(4).add("v", 1).add("id", 5).add("type", "module").add("name", "scorer").frames());
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_TRUE(std::get<ModuleRequest>(decoded->body) == (ModuleRequest{"scorer", 0, Uuid{}, 0}));
}

TEST(Codec, TrailingBytesAreRefused) {
  const Frames frames = Hand(3).add("v", 1).add("id", 5).add("type", "status").raw("\x01").frames();
  EXPECT_EQ(code_of_request(frames), ErrorCode::kCorrupt);
}

TEST(Codec, EveryTruncationOfEveryMessageIsRefused) {
  const auto refuse_all = [](const Frames& whole, std::size_t header,
                             const std::function<bool(const Frames&)>& accepts) {
    for (std::size_t length = 0; length < whole[header]->size(); ++length) {
      Frames cut = whole;
      cut[header] = share(as_text(*whole[header]).substr(0, length));
      EXPECT_FALSE(accepts(cut)) << length;
    }
  };
  for (const auto& [name, m] : test::sample_requests())
    refuse_all(encode(m), 0, [](const Frames& f) { return decode_request(f).ok(); });
  for (const auto& [name, m] : test::sample_replies())
    refuse_all(encode(m), 0, [](const Frames& f) { return decode_reply(f).ok(); });
  for (const auto& [name, m] : test::sample_events())
    refuse_all(encode(m), 1, [](const Frames& f) { return decode_event(f).ok(); });
}

TEST(Codec, WrongNumbersOfFramesAreRefused) {
  const Frames request = encode(test::sample_requests()[0].second);
  EXPECT_FALSE(decode_request({}).ok());
  EXPECT_FALSE(decode_request({request[0], request[0]}).ok());
  EXPECT_FALSE(decode_reply({}).ok());
  EXPECT_FALSE(decode_reply({request[0], request[0], request[0]}).ok());
  Frames event = encode(test::sample_events()[1].second);
  event.pop_back();
  EXPECT_FALSE(decode_event(event).ok());  // one payload fewer than the header lists
  EXPECT_FALSE(decode_event({event[0]}).ok());
  EXPECT_FALSE(decode_event(Frames(limits::kFramesPerMessage + 1, event[1])).ok());
}

TEST(Codec, DeclaredSizesDoNotAllocate) {
  // Five bytes that ask for four billion elements, alone and nested.
  for (const std::string_view bytes :
       {std::string_view("\xdd\xff\xff\xff\xff", 5), std::string_view("\xdf\xff\xff\xff\xff", 5),
        std::string_view("\xdb\xff\xff\xff\xff", 5), std::string_view("\xc6\xff\xff\xff\xff", 5),
        std::string_view("\xc9\xff\xff\xff\xff\x01", 6)}) {
    EXPECT_FALSE(decode_request({share(bytes)}).ok());
    EXPECT_FALSE(decode_request(Hand(1).raw("\xa1v").raw(bytes).frames()).ok());
  }
}

TEST(Codec, NestingIsLimited) {
  const auto nested = [](std::size_t depth) {
    return Hand(4)
        .add("v", 1)
        .add("id", 5)
        .add("type", "status")
        .raw("\xa1x")
        .raw(std::string(depth, '\x91'))
        .raw("\xc0")
        .frames();
  };
  EXPECT_TRUE(decode_request(nested(limits::kNestingDepth - 2)).ok());
  EXPECT_EQ(code_of_request(nested(limits::kNestingDepth + 1)), ErrorCode::kLimit);
  EXPECT_EQ(code_of_request(nested(100'000)), ErrorCode::kLimit);
}

TEST(Codec, TheHeaderOfARequestIsLimited) {
  const auto padded = [](std::size_t size) {
    return Hand(4).add("v", 1).add("id", 5).add("type", "status").add("x", std::string(size, 'x')).frames();
  };
  EXPECT_TRUE(decode_request(padded(limits::kRequestHeaderBytes - 100)).ok());
  EXPECT_EQ(code_of_request(padded(limits::kRequestHeaderBytes)), ErrorCode::kLimit);
}

TEST(Codec, AnAnswerThatIsTooLargeBecomesAnError) {
  StatusReply status;
  ModuleEntry large = test::sample_module();
  large.depends_on.assign(limits::kDependenciesPerModule, std::string(limits::kModuleNameBytes, 'd'));
  status.modules.assign(
      limits::kHeaderBytes / (limits::kDependenciesPerModule * limits::kModuleNameBytes) + 1, large);
  const auto decoded = decode_reply(encode(Reply{6, status}));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->id, 6U);
  EXPECT_EQ(std::get<ErrorReply>(decoded->body).code, ErrorCode::kLimit);
  EXPECT_THAT(std::get<ErrorReply>(decoded->body).message, HasSubstr("kHeaderBytes"));
}

TEST(Codec, FailuresOfAnyLengthCanBeTold) {
  // The longest ack that a sender can be asked to write fits into a request and is accepted.
  AckRequest ack;
  ack.phase = AckPhase::kFailed;
  const std::string reason = std::string(limits::kTextBytes * 2, 'r') + "\xff";
  ack.failures.assign(limits::kFailuresPerEpoch + 5,
                      {std::string(limits::kModuleNameBytes + 50, 'm'), reason});
  const auto decoded = decode_request(encode(Request{1, ack}));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  const auto& got = std::get<AckRequest>(decoded->body);
  EXPECT_EQ(got.failures.size(), limits::kFailuresPerEpoch);
  EXPECT_EQ(got.failures[0].error, reason.substr(0, limits::kFailureTextBytes));
}

TEST(Codec, TextIsValidUtf8OnBothSides) {
  const auto decoded = decode_request(encode(Request{1, HelloRequest{"caf\xe9 \xe2\x82\xac"}}));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_EQ(std::get<HelloRequest>(decoded->body).software, "caf? \xe2\x82\xac");
  EXPECT_EQ(
      code_of_request(Hand(4).add("v", 1).add("id", 5).add("type", "hello").add("software", "\xff").frames()),
      ErrorCode::kCorrupt);
}

TEST(Codec, PinsBeyondTheLimitAreLeftOut) {
  AliveRequest alive;
  alive.pins.assign(limits::kPinsPerExecutor + 1, {1, 2, 3});
  const auto decoded = decode_request(encode(Request{1, alive}));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_EQ(std::get<AliveRequest>(decoded->body).pins.size(), limits::kPinsPerExecutor);
}

TEST(Codec, RunsBeyondTheLimitAreLeftToTheNextMessage) {
  AliveRequest alive;
  alive.runs.assign(limits::kRunsPerMessage + 1, {"scorer", 1, 2, 30, 20, 5});
  const auto decoded = decode_request(encode(Request{1, alive}));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_EQ(std::get<AliveRequest>(decoded->body).runs.size(), limits::kRunsPerMessage);
  LeaveRequest leave;
  leave.runs = alive.runs;
  const auto left = decode_request(encode(Request{2, leave}));
  ASSERT_TRUE(left.ok()) << left.error().message;
  EXPECT_EQ(std::get<LeaveRequest>(left->body).runs.size(), limits::kRunsPerMessage);
  RunsReply reply;
  reply.runs.assign(limits::kRunsPerReply + 1, {});
  const auto answered = decode_reply(encode(Reply{3, reply}));
  ASSERT_TRUE(answered.ok()) << answered.error().message;
  EXPECT_EQ(std::get<RunsReply>(answered->body).runs.size(), limits::kRunsPerReply);
}

TEST(Codec, WithoutRunsNothingIsAddedToAMessage) {
  AliveRequest alive;
  alive.runs = {{"scorer", 1, 2, 30, 20, 5}};
  EXPECT_NE(encode(Request{1, alive})[0]->size(), encode(Request{1, AliveRequest{}})[0]->size());
  alive.runs.clear();
  EXPECT_EQ(*encode(Request{1, alive})[0], *encode(Request{1, AliveRequest{}})[0]);
}

TEST(Codec, AManifestRefusesHostileNamesAndDoubles) {
  const auto with_name = [](const std::string& name, const std::string& path) {
    Manifest manifest;
    ModuleEntry module = test::sample_module();
    module.name = name;
    module.path = path;
    manifest.modules[name] = module;
    return decode_manifest(encode_manifest(manifest));
  };
  EXPECT_TRUE(with_name("scorer", "libscorer.so").ok());
  EXPECT_FALSE(with_name("../evil", "libscorer.so").ok());
  EXPECT_FALSE(with_name("scorer", "../../.ssh/authorized_keys").ok());
  EXPECT_FALSE(with_name("scorer", "/etc/passwd").ok());
  EXPECT_FALSE(with_name(std::string(limits::kModuleNameBytes + 1, 'n'), "libscorer.so").ok());

  Manifest twice;
  twice.modules["a"] = test::sample_module("scorer");
  twice.modules["b"] = test::sample_module("scorer");
  const auto decoded = decode_manifest(encode_manifest(twice));
  ASSERT_FALSE(decoded.ok());
  EXPECT_THAT(decoded.error().message, HasSubstr("twice"));
}

TEST(Codec, ModuleBeyondTheSizeLimitIsRefused) {
  Manifest manifest;
  ModuleEntry module = test::sample_module();
  module.size = limits::kModuleBytes + 1;
  manifest.modules[module.name] = module;
  const auto decoded = decode_manifest(encode_manifest(manifest));
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, ErrorCode::kLimit);
}

/// Added to a time it would overflow, and whoever waits for a moment in the past floods the daemon.
TEST(Codec, ATimeToWaitIsBounded) {
  for (const auto& [sent, read] : {std::pair{INT64_MAX, std::int64_t{limits::kRetryAfterMost.count()}},
                                   {INT64_MIN, 0},
                                   {-1, 0},
                                   {250, 250}}) {
    const auto decoded = decode_reply(encode(Reply{1, ErrorReply{ErrorCode::kLimit, "busy", sent}}));
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ(std::get<ErrorReply>(decoded->body).retry_after_ms, read) << sent;
  }
}

TEST(Codec, AnExecutorHasAnIdAndAProcess) {
  const auto code_of = [](const Uuid& id, std::int64_t pid) {
    JoinRequest join;
    join.executor = {id, "w", "host", pid};
    return code_of_request(encode(Request{1, join}));
  };
  EXPECT_EQ(code_of(Uuid::random(), 4711), ErrorCode::kInternal) << "no error";
  EXPECT_EQ(code_of(Uuid{}, 4711), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(Uuid::random(), -1), ErrorCode::kInvalidArgument);
}

TEST(Codec, TheIdOfGarbageIsZero) {
  EXPECT_EQ(request_id_of(as_bytes("\xc1")), 0U);
  EXPECT_EQ(request_id_of({}), 0U);
  EXPECT_EQ(request_id_of(*Hand(1).add("id", "text").frames()[0]), 0U);
  EXPECT_EQ(request_id_of(*Hand(1).add("id", 12).frames()[0]), 12U);
}

}  // namespace
}  // namespace moddev
