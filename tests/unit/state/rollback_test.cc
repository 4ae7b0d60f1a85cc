#include "daemon/rollback.h"

#include <gtest/gtest.h>

#include "daemon/daemon.h"
#include "daemon/limits.h"
#include "daemon/rollbacks.h"
#include "tests/support/service/fake_transport.h"
#include "tests/support/service/scripted_feed.h"
#include "tests/support/state/scratch.h"

namespace moddev::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::abort;
using testing::at_second;
using testing::commit;
using testing::content;
using testing::open_journal;

class RollbackTest : public ::testing::Test {
 protected:
  /// The directory holds `modules`, and so does everyone.
  void live(const ModuleSet& modules) {
    directory = modules;
    commit(*journal, modules);
  }
  Result<EpochRecord> back(const std::string& module, std::uint64_t to = 0) {
    return roll_back(*journal, directory, {module, to, {}}, at_second(50));
  }
  void carry_out(const Result<EpochRecord>& record) {
    ASSERT_TRUE(record.ok()) << record.error().message;
    ASSERT_TRUE(journal->record_epoch(*record));
    ASSERT_TRUE(journal->record_commit(record->epoch, at_second(50)));
    // What is held and what the directory has are together what is live: nothing is left to publish.
    EXPECT_TRUE(ended_holds(journal->holds(), directory).empty());
    EXPECT_FALSE(next_epoch(with_holds(directory, journal->holds()), journal->committed(), nullptr,
                            journal->head(), journal->last_versions(), at_second(51))
                     .has_value());
  }
  [[nodiscard]] const ModuleEntry& has(const std::string& module) const {
    return *journal->committed().find(module);
  }

  std::unique_ptr<Journal> journal = open_journal(":memory:");
  ModuleSet directory;
};

TEST_F(RollbackTest, OldBytesComeWithANewNumberAndAreHeld) {
  live({{"base", content("x")}, {"scorer", content("1")}});
  live({{"base", content("x")}, {"scorer", content("2")}});
  live({{"base", content("y")}, {"scorer", content("2")}});
  const auto record = back("scor");
  ASSERT_TRUE(record.ok()) << record.error().message;
  EXPECT_EQ(record->epoch, 4U);
  EXPECT_EQ(record->cause, "rollback of scorer to version 1");
  ASSERT_EQ(record->changes.size(), 1U);
  carry_out(record);
  EXPECT_EQ(has("scorer").version, 3U);
  EXPECT_EQ(has("scorer").digest, digest_of("1"));
  EXPECT_EQ(has("base").digest, digest_of("y"));
  ASSERT_TRUE(journal->holds().contains("scorer"));
  const Hold& hold = journal->holds().at("scorer");
  EXPECT_EQ(hold.version, 1U);
  EXPECT_EQ(hold.overrides, digest_of("2"));
  EXPECT_EQ(describe_hold("scorer", hold),
            "scorer has the bytes of version 1 again until 'lib/some.so' changes.");
}

TEST_F(RollbackTest, TheNextOneLeadsFurtherBackAndATargetMayBeNamed) {
  for (const char* bytes : {"1", "2", "3"}) live({{"m", content(bytes)}});
  carry_out(back("m"));
  EXPECT_EQ(has("m").digest, digest_of("2"));
  carry_out(back("m"));
  EXPECT_EQ(has("m").digest, digest_of("1"));
  const auto none = back("m");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  // Forward to what the directory has: it is followed again.
  carry_out(back("m", 3));
  EXPECT_EQ(has("m").digest, digest_of("3"));
  EXPECT_EQ(has("m").version, 6U);
  EXPECT_TRUE(journal->holds().empty());
  EXPECT_EQ(back("m", 3).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(back("m", 99).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(back("nobody").error().code, ErrorCode::kNotFound);
}

TEST_F(RollbackTest, ARemovedModuleComesBack) {
  live({{"m", content("1")}, {"stays", content("s")}});
  live({{"stays", content("s")}});
  carry_out(back("m"));
  EXPECT_EQ(has("m").digest, digest_of("1"));
  EXPECT_TRUE(journal->holds().at("m").overrides.is_zero());
  directory["m"] = content("new");
  EXPECT_EQ(ended_holds(journal->holds(), directory), std::vector<std::string>{"m"});
}

TEST_F(RollbackTest, WhatWasRefusedInTheDirectoryDoesNotComeAlong) {
  live({{"a", content("1")}, {"b", content("1")}});
  live({{"a", content("2")}, {"b", content("1")}});
  directory["b"] = content("refused");
  abort(*journal, directory);
  const auto record = back("a");
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->manifest.find("b")->digest, digest_of("1"));
  EXPECT_EQ(record->changes.size(), 1U);
  // And a rollback of the module that the directory has a refused content of lasts until that changes.
  const auto other = back("b", 1);
  EXPECT_EQ(other.error().code, ErrorCode::kAlreadyExists);
}

TEST_F(RollbackTest, AllModulesOfAnEpochComeBackTogether) {
  live({{"a", content("1")}, {"b", content("1", {"a"})}, {"old", content("o")}});
  live({{"a", content("2")}, {"b", content("1", {"a"})}, {"new", content("n")}});
  live({{"a", content("3")}, {"b", content("1", {"a"})}, {"new", content("n")}});
  carry_out(back("", 1));
  EXPECT_EQ(has("a").digest, digest_of("1"));
  EXPECT_EQ(has("a").version, 4U);
  EXPECT_EQ(has("b").version, 1U);
  EXPECT_EQ(has("old").version, 1U);
  EXPECT_EQ(journal->committed().find("new"), nullptr);
  EXPECT_EQ(journal->holds().size(), 3U);
  EXPECT_FALSE(journal->holds().contains("b")) << "the directory has the same";
  EXPECT_FALSE(journal->holds().at("new").content.has_value());
  EXPECT_EQ(describe_hold("new", journal->holds().at("new")), "new is kept out until 'lib/some.so' changes.");
  EXPECT_EQ(journal->epoch(4)->cause, "rollback to epoch 1");
  EXPECT_EQ(back("", 1).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(back("").error().code, ErrorCode::kNotFound) << "before the first there is nothing";
  EXPECT_EQ(back("", 77).error().code, ErrorCode::kNotFound);
  // Forward again, to what the directory has.
  carry_out(back("", 3));
  EXPECT_TRUE(journal->holds().empty());
}

TEST_F(RollbackTest, WithoutATargetAllGoBackAnEpochEachTime) {
  for (const char* bytes : {"1", "2", "3"}) live({{"m", content(bytes)}});
  carry_out(back(""));
  EXPECT_EQ(has("m").digest, digest_of("2"));
  carry_out(back(""));
  EXPECT_EQ(has("m").digest, digest_of("1"));
  EXPECT_FALSE(back("").ok());
}

// Led back to what the rollback of the module had just left.
TEST_F(RollbackTest, AfterAModuleWentBackAllGoFurtherBack) {
  for (const char* bytes : {"1", "2", "3"}) live({{"m", content(bytes)}});
  carry_out(back("m"));
  EXPECT_EQ(has("m").digest, digest_of("2"));
  carry_out(back(""));
  EXPECT_EQ(has("m").digest, digest_of("1"));
}

TEST_F(RollbackTest, WhereTheContentIsNewItLeadsBeforeTheModulesRollback) {
  live({{"m", content("1")}, {"n", content("1")}});
  live({{"m", content("2")}, {"n", content("2")}});
  carry_out(back("m"));
  carry_out(back(""));
  EXPECT_EQ(has("m").digest, digest_of("2"));
  EXPECT_EQ(has("n").digest, digest_of("2"));
}

TEST_F(RollbackTest, ToARefusedEpochIsSaidToBeThat) {
  live({{"m", content("1")}});
  abort(*journal, {{"m", content("2")}});
  const auto record = back("", 2);
  ASSERT_TRUE(record.ok()) << record.error().message;
  EXPECT_EQ(record->cause, "rollback to epoch 2, which was refused");
}

TEST_F(RollbackTest, DependenciesThatAreGoneAreLeftOut) {
  live({{"a", content("1", {"lib"})}, {"lib", content("l")}});
  live({{"a", content("2")}});
  carry_out(back("a"));
  EXPECT_TRUE(has("a").depends_on.empty());
  carry_out(back("", 1));
  EXPECT_EQ(has("a").depends_on, std::vector<std::string>{"lib"});
}

TEST_F(RollbackTest, BytesThatAreNotKeptAreMissed) {
  MemoryBlobStore blobs;
  live({{"m", content("1")}});
  live({{"m", content("2")}});
  const auto record = back("m");
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(bytes_are_there(*record, blobs).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(blobs.put(digest_of("1"), std::as_bytes(std::span("1", 1))));
  EXPECT_TRUE(bytes_are_there(*record, blobs).ok());
}

TEST(Rollbacks, ARequestThatIsRepeatedIsCarriedOutOnce) {
  const auto journal = open_journal(":memory:");
  MemoryBlobStore blobs;
  for (const char* bytes : {"1", "2", "3"}) {
    ASSERT_TRUE(blobs.put(digest_of(bytes), std::as_bytes(std::span(bytes, 1))));
    commit(*journal, {{"m", content(bytes)}});
  }
  const ModuleSet directory{{"m", content("3")}};
  Rollbacks rollbacks;
  const RollbackRequest request{"m", 0, Uuid::random()};
  const TimePoint now{};
  rollbacks.take(request, {}, 1, now);
  rollbacks.take(request, {}, 2, now);
  auto record = rollbacks.next(*journal, blobs, directory, at_second(1));
  ASSERT_TRUE(record.has_value());
  EXPECT_FALSE(rollbacks.waiting());
  rollbacks.take(request, {}, 3, now);
  EXPECT_FALSE(rollbacks.waiting()) << "it is under way";
  ASSERT_TRUE(journal->record_epoch(*record));
  ASSERT_TRUE(journal->record_commit(record->epoch, at_second(1)));
  rollbacks.committed(*journal, *record);
  auto answers = rollbacks.take_answers(now);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].reply.id, 3U) << "the newest repetition is the one that somebody waits for";
  rollbacks.take(request, {}, 4, now);
  answers = rollbacks.take_answers(now);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(std::get<RollbackReply>(answers[0].reply.body).epoch, 4U);
  EXPECT_FALSE(rollbacks.waiting());
}

TEST(Rollbacks, OnlySoManyWaitAndNotForEver) {
  Rollbacks rollbacks;
  const TimePoint now{seconds(5)};
  for (std::size_t i = 0; i <= limits::kWaitingRollbacks; ++i)
    rollbacks.take({"m", 0, Uuid::random()}, {}, i, now);
  auto answers = rollbacks.take_answers(now);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(std::get<ErrorReply>(answers[0].reply.body).code, ErrorCode::kLimit);
  EXPECT_GT(std::get<ErrorReply>(answers[0].reply.body).retry_after_ms, 0);
  EXPECT_EQ(rollbacks.next_due(), now + limits::kRefreshPatience);
  answers = rollbacks.take_answers(now + limits::kRefreshPatience);
  ASSERT_EQ(answers.size(), limits::kWaitingRollbacks);
  EXPECT_EQ(std::get<ErrorReply>(answers[0].reply.body).code, ErrorCode::kTimeout);
  EXPECT_EQ(rollbacks.next_due(), kNever);
}

TEST(Rollbacks, TheOldestAnswersAreForgotten) {
  const auto journal = open_journal(":memory:");
  MemoryBlobStore blobs;
  Rollbacks rollbacks;
  const TimePoint now{};
  const RollbackRequest first{"nobody", 0, Uuid::random()};
  rollbacks.take(first, {}, 1, now);
  EXPECT_FALSE(rollbacks.next(*journal, blobs, {}, at_second(1)).has_value());
  EXPECT_EQ(rollbacks.take_answers(now).size(), 1U);
  for (std::size_t i = 0; i < limits::kEndedRollbacks; ++i) {
    rollbacks.take({"nobody", 0, Uuid::random()}, {}, 2, now);
    static_cast<void>(rollbacks.next(*journal, blobs, {}, at_second(1)));
  }
  static_cast<void>(rollbacks.take_answers(now));
  rollbacks.take(first, {}, 3, now);
  EXPECT_TRUE(rollbacks.waiting()) << "asked anew";
}

// ------------------------------------------------------------------------------------- the whole daemon

class DaemonRollbackTest : public ::testing::Test {
 protected:
  void SetUp() override {
    journal = open_journal(":memory:");
    person = transport.connect();
    executor = transport.connect();
    executor->subscribe({});
    start();
  }
  void start() {
    daemon = std::make_unique<Daemon>(DaemonOptions{}, feed, blobs, *journal, transport);
    settle();
  }
  void join() {
    executor->send({++requests, JoinRequest{identity, {}, 0}});
    settle();
  }
  void settle() {
    for (int turn = 0; turn < 200; ++turn) {
      now += milliseconds(1);
      const TimePoint due = daemon->step(now, WallTime(now.time_since_epoch()));
      for (DaemonEvent& event : daemon->take_events()) {
        if (auto* warning = std::get_if<WarningEvent>(&event))
          warnings.push_back(warning->code + ": " + warning->message);
        if (auto* published = std::get_if<PublishedEvent>(&event)) causes.push_back(published->cause);
      }
      if (!answer_events() && due > now) return;
    }
    FAIL() << "never comes to rest";
  }
  bool answer_events() {
    bool any = false;
    while (auto input = executor->receive()) {
      any = true;
      const auto* event = std::get_if<Event>(&*input);
      if (event == nullptr) continue;
      if (const auto* announced = std::get_if<AnnounceEvent>(&event->body)) {
        AckRequest ack{
            identity.id, announced->epoch, refuses ? AckPhase::kFailed : AckPhase::kPrepared, {}, 1};
        if (refuses) ack.failures = {{"m", "undefined symbol: weight"}};
        executor->send({++requests, ack});
      } else if (const auto* committed = std::get_if<CommitEvent>(&event->body)) {
        executor->send({++requests, AckRequest{identity.id, committed->epoch, AckPhase::kApplied, {}, 1}});
      }
    }
    return any;
  }
  void write(const std::map<std::string, std::string>& files) {
    feed.write(blobs, files, now);
    settle();
  }
  ReplyBody ask(RequestBody body) {
    person->send({++requests, std::move(body)});
    settle();
    // After a refusal the others' reasons are waited for.
    now += milliseconds(60);
    settle();
    std::optional<ReplyBody> last;
    while (auto input = person->receive()) {
      if (auto* reply = std::get_if<Reply>(&*input)) last = reply->body;
    }
    EXPECT_TRUE(last.has_value());
    return last.value_or(OkReply{});
  }
  ReplyBody roll_back(const std::string& module, std::uint64_t to = 0) {
    return ask(RollbackRequest{module, to, Uuid::random()});
  }
  std::string bytes_of(const std::string& module) {
    const auto reply = ask(ModuleRequest{module, 0, {}, 0});
    const auto* found = std::get_if<ModuleReply>(&reply);
    if (found == nullptr || found->bytes == nullptr) return "none";
    return {reinterpret_cast<const char*>(found->bytes->data()), found->bytes->size()};
  }

  TimePoint now{seconds(1'000)};
  testing::ScriptedFeed feed;
  MemoryBlobStore blobs;
  testing::FakeTransport transport;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Daemon> daemon;
  std::unique_ptr<Link> person;
  std::unique_ptr<Link> executor;
  ExecutorIdentity identity{Uuid::random(), "worker-1", "host", 1};
  std::uint64_t requests = 0;
  bool refuses = false;
  std::vector<std::string> warnings;
  std::vector<std::string> causes;
};

TEST_F(DaemonRollbackTest, HoldsUntilTheFileChangesAlsoAcrossARestart) {
  join();
  for (const char* bytes : {"one", "two", "three"}) write({{"m", bytes}, {"n", "n"}});
  const ReplyBody answer = roll_back("m", 1);
  const auto* reply = std::get_if<RollbackReply>(&answer);
  ASSERT_NE(reply, nullptr) << std::get<ErrorReply>(answer).message;
  EXPECT_EQ(reply->epoch, 4U);
  EXPECT_EQ(reply->holds, (std::vector<HoldReport>{{"m", 1, "m"}}));
  EXPECT_EQ(causes.back(), "rollback of m to version 1");
  ASSERT_FALSE(warnings.empty());
  EXPECT_EQ(warnings.back(), "held: m has the bytes of version 1 again until 'm' changes.");
  EXPECT_EQ(bytes_of("m"), "one");
  EXPECT_EQ(std::get<StatusReply>(ask(StatusRequest{})).holds.size(), 1U);

  // Other modules go on.
  write({{"m", "three"}, {"n", "n2"}});
  EXPECT_EQ(bytes_of("m"), "one");
  EXPECT_EQ(bytes_of("n"), "n2");

  daemon.reset();
  warnings.clear();
  feed.restart(now);
  start();
  join();
  EXPECT_EQ(warnings.back(), "held: m has the bytes of version 1 again until 'm' changes.");
  EXPECT_EQ(bytes_of("m"), "one");
  const Epoch before = journal->head();

  write({{"m", "four"}, {"n", "n2"}});
  EXPECT_EQ(bytes_of("m"), "four");
  EXPECT_EQ(journal->head(), before + 1);
  EXPECT_EQ(journal->committed().find("m")->version, 5U);
  EXPECT_EQ(warnings.back(), "hold_ended: m follows 'm' again, which has changed since the rollback.");
  EXPECT_TRUE(std::get<StatusReply>(ask(StatusRequest{})).holds.empty());
  // The same bytes as were held against are a change now.
  write({{"m", "three"}, {"n", "n2"}});
  EXPECT_EQ(bytes_of("m"), "three");
}

TEST_F(DaemonRollbackTest, AChangeToTheHeldBytesEndsTheHoldWithoutAnEpoch) {
  for (const char* bytes : {"one", "two"}) write({{"m", bytes}});
  ASSERT_TRUE(std::holds_alternative<RollbackReply>(roll_back("m")));
  const Epoch head = journal->head();
  write({{"m", "one"}});
  EXPECT_EQ(journal->head(), head);
  EXPECT_TRUE(journal->holds().empty());
  write({{"m", "two"}});
  EXPECT_EQ(bytes_of("m"), "two");
}

TEST_F(DaemonRollbackTest, ARefusedRollbackChangesNothingAndSaysWhy) {
  join();
  for (const char* bytes : {"one", "two"}) write({{"m", bytes}});
  refuses = true;
  const ReplyBody answer = roll_back("m");
  const auto* error = std::get_if<ErrorReply>(&answer);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->code, ErrorCode::kRefused);
  EXPECT_EQ(error->message,
            "The executors cannot go back to it, so everyone keeps what is live. worker-1: m: undefined "
            "symbol: weight.");
  EXPECT_EQ(bytes_of("m"), "two");
  EXPECT_TRUE(journal->holds().empty());
  const Epoch head = journal->head();
  refuses = false;
  now += seconds(2);
  settle();
  EXPECT_EQ(journal->head(), head) << "it is not tried again by itself";
  EXPECT_TRUE(std::holds_alternative<RollbackReply>(roll_back("m")));
  EXPECT_EQ(bytes_of("m"), "one");
}

TEST_F(DaemonRollbackTest, ARefusedBuildStaysRefusedAfterARollbackOfAnotherModule) {
  join();
  write({{"m", "one"}, {"n", "n"}});
  write({{"m", "two"}, {"n", "n"}});
  refuses = true;
  write({{"m", "two"}, {"n", "bad"}});
  now += milliseconds(60);
  settle();
  refuses = false;
  ASSERT_TRUE(std::holds_alternative<RollbackReply>(roll_back("m")));
  EXPECT_EQ(bytes_of("n"), "n");
  EXPECT_EQ(bytes_of("m"), "one");
  const Epoch head = journal->head();
  now += seconds(2);
  settle();
  EXPECT_EQ(journal->head(), head);
}

TEST_F(DaemonRollbackTest, WhatCannotBeDoneIsAnswered) {
  write({{"mm", "one"}, {"mn", "one"}});
  const auto code = [&](const std::string& module, std::uint64_t to = 0) {
    const ReplyBody answer = roll_back(module, to);
    const auto* error = std::get_if<ErrorReply>(&answer);
    return error == nullptr ? ErrorCode::kInternal : error->code;
  };
  EXPECT_EQ(code("m"), ErrorCode::kConflict);
  EXPECT_EQ(code("zzz"), ErrorCode::kNotFound);
  EXPECT_EQ(code("mm"), ErrorCode::kNotFound) << "nothing before the first version";
  EXPECT_EQ(code("mm", 1), ErrorCode::kAlreadyExists);
  EXPECT_EQ(code(""), ErrorCode::kNotFound);
  EXPECT_EQ(journal->head(), 1U);
  const ReplyBody history = ask(HistoryRequest{"mm", 0, 0});
  EXPECT_EQ(std::get<HistoryReply>(history).entries.size(), 1U);
  EXPECT_EQ(std::get<ErrorReply>(ask(HistoryRequest{"m", 0, 0})).code, ErrorCode::kConflict);
}

TEST_F(DaemonRollbackTest, WaitsForTheFirstScan) {
  const Uuid key = Uuid::random();
  person->send({1, RollbackRequest{"m", 0, key}});
  settle();
  EXPECT_FALSE(person->receive().has_value());
  write({{"m", "one"}});
  const auto input = person->receive();
  ASSERT_TRUE(input.has_value());
  EXPECT_TRUE(std::holds_alternative<ErrorReply>(std::get<Reply>(*input).body));
}

}  // namespace
}  // namespace moddev::daemon
