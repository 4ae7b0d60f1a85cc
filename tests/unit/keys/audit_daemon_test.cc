// What the daemon notes of its callers, and that noting waits for a switch.
#include <gmock/gmock.h>

#include "daemon/journal_lookup.h"
#include "tests/support/state/scratch.h"
#include "tests/unit/service/daemon_fixture.h"

namespace moddev::daemon {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class DaemonAudit : public DaemonTest {
 protected:
  void SetUp() override {
    journal = testing::open_journal(path);
    start();
  }
  /// "refused laptop (10.0.0.2): ...", oldest first.
  std::vector<std::string> lines() const {
    std::vector<std::string> all_lines;
    const Status read = visit_audit(path, [&](const AuditEntry& entry) {
      std::string text = std::string(to_string(entry.act)) + " " + entry.who;
      if (!entry.address.empty()) text += " (" + entry.address + ")";
      if (!entry.executor.empty()) text += " " + entry.executor;
      if (!entry.what.empty()) text += ": " + entry.what;
      if (entry.count != 1) text += " x" + std::to_string(entry.count);
      all_lines.push_back(text);
      return true;
    });
    EXPECT_TRUE(read) << read.error().message;
    std::ranges::reverse(all_lines);
    return all_lines;
  }
  static Caller laptop() { return {Caller::Kind::kKey, "laptop", "key", "10.0.0.2"}; }

  testing::Scratch scratch;
  std::filesystem::path path = scratch / "journal";
};

TEST_F(DaemonAudit, WhoConnectsFetchesAppliesAndAsks) {
  transport.arrivals.push_back({laptop(), 2});
  transport.caller = laptop();
  Executor& executor = add("w1");
  write({{"scorer", "one"}});
  ask(executor, BlobRequest{digest_of("one"), 0, 100});
  ask(executor, BlobRequest{digest_of("one"), 1, 100});
  ask(executor, ModuleRequest{"scorer", 0, {}, 0});
  pass(seconds(1));
  EXPECT_THAT(lines(), ElementsAre("connected laptop (10.0.0.2) x2", "applied laptop (10.0.0.2) w1: epoch 1",
                                   "fetched laptop (10.0.0.2): scorer 1 x2"));
  transport.caller = {};
  executor.ask(RefreshRequest{});
  executor.ask(RollbackRequest{"scorer", 7, Uuid::random()});
  executor.ask(BuildRequest{BuildAction::kBegin, Uuid::random()});
  settle();
  pass(seconds(1));
  EXPECT_THAT(lines(), Contains("asked you: refresh"));
  EXPECT_THAT(lines(), Contains("asked you: rollback of scorer to 7"));
  EXPECT_THAT(lines(), Contains("asked you: build begin"));
}

TEST_F(DaemonAudit, WhatOnlyLooksIsNotNoted) {
  Executor& executor = add("w1");
  ask(executor, StatusRequest{});
  ask(executor, HistoryRequest{});
  ask(executor, BlobRequest{digest_of("nothing"), 0, 100});
  ask(executor, ModuleRequest{"nothing", 0, {}, 0});
  pass(seconds(2));
  EXPECT_THAT(lines(), IsEmpty());
}

TEST_F(DaemonAudit, AnExecutorThatDoesNotBelieveTellsWhy) {
  transport.caller = laptop();
  Executor& executor = add("w1");
  executor.refuses = true;
  write({{"scorer", "one"}});
  pass(seconds(1));
  EXPECT_THAT(lines(), Contains("failed laptop (10.0.0.2) w1: epoch 1: m: undefined symbol"));
}

TEST_F(DaemonAudit, RefusalsAndDenialsAreThereAlsoAfterTheEnd) {
  transport.refusals.push_back({"10.0.0.9", "its key 'x' is not trusted"});
  transport.refusals.push_back({"laptop", "no request", Refusal::Kind::kDropped, "10.0.0.2", 5});
  transport.caller = laptop();
  Executor& executor = add("w1");
  ask(executor, RollbackRequest{"scorer", 7, Uuid::random()});
  EXPECT_THAT(lines(), IsEmpty()) << "not at once";
  daemon.reset();
  journal.reset();
  EXPECT_THAT(lines(), ElementsAre("refused 10.0.0.9: its key 'x' is not trusted",
                                   "refused laptop (10.0.0.2): dropped: no request x5",
                                   StartsWith("refused laptop (10.0.0.2): 'laptop' may not rollback")));
  EXPECT_EQ(all<WarningEvent>().size(), 3U);
  EXPECT_EQ(all<WarningEvent>()[1].message, "A message of laptop (10.0.0.2) was dropped: no request.");
}

TEST_F(DaemonAudit, ASwitchIsNotHeldUpAndDoesNotHoldUpForEver) {
  Executor& executor = add("w1");
  executor.mute = true;
  transport.arrivals.push_back({laptop(), 1});
  settle();
  feed.write(blobs, {{"scorer", "one"}}, now);
  settle();
  now += limits::kAuditDelay;
  executor.alive();
  settle();
  EXPECT_THAT(lines(), IsEmpty()) << "the switch is under way";
  EXPECT_GT(due, now) << "and nobody spins";
  const TimePoint end = now + limits::kAuditPatience;
  while (now < end) {
    now += milliseconds(500);
    executor.alive();
    settle();
  }
  EXPECT_THAT(lines(), SizeIs(1));
}

TEST_F(DaemonAudit, AFloodOfStrangersWritesLittle) {
  for (int second = 0; second < 30; ++second) {
    for (int n = 0; n < 1'000; ++n)
      transport.refusals.push_back({"10.0.0.9", "its key '" + std::to_string(n) + "' is not trusted"});
    pass(seconds(1));
  }
  EXPECT_THAT(lines(), SizeIs(limits::kAuditOpenRefusals + 1));
  EXPECT_LE(all<WarningEvent>().size(), 4 * limits::kToldRefusals) << "and the terminal is not flooded";
}

// Ids are no secret: status shows them.
TEST_F(DaemonAudit, NobodySpeaksForAnExecutorThatJoinedAsSomebodyElse) {
  const Caller desktop{Caller::Kind::kKey, "desktop", "another key", "10.0.0.3"};
  transport.caller = laptop();
  Executor& victim = add("victim");
  write({{"scorer", "one"}});
  transport.caller = desktop;
  Executor& thief = add("thief");
  const Uuid id = victim.identity().id;
  ExecutorIdentity forged = victim.identity();
  forged.pid = 1;
  AckRequest refusal{id, 2, AckPhase::kFailed, {{"scorer", "no"}}, 0};
  for (const RequestBody& request : std::vector<RequestBody>{
           LeaveRequest{id, {}}, refusal, AliveRequest{id, ExecutorState::kLive, 1, {}, 0, {}, {}},
           JoinRequest{forged, {}, 0}}) {
    const ReplyBody reply = ask(thief, request);
    const auto* error = std::get_if<ErrorReply>(&reply);
    ASSERT_NE(error, nullptr) << request.index();
    EXPECT_EQ(error->code, ErrorCode::kPermission);
    EXPECT_THAT(error->message, HasSubstr("'desktop' may not speak for executor " + id.to_string()));
  }
  EXPECT_EQ(ask(thief, StatusRequest{}).index(), ReplyBody(StatusReply{}).index());
  EXPECT_EQ(thief.last<StatusReply>()->executors.size(), 2U) << "the victim is still there";
  pass(seconds(1));
  EXPECT_THAT(lines(), Contains(StartsWith("refused desktop (10.0.0.3): 'desktop' may not speak for")));
  transport.caller = laptop();
  EXPECT_TRUE(std::holds_alternative<OkReply>(ask(victim, LeaveRequest{id, {}}))) << "it may itself";
}

}  // namespace
}  // namespace moddev::daemon
