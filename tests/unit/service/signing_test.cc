// What a daemon with a signing key says, as an executor would check it.
#include "daemon/signing.h"

#include "protocol/limits.h"
#include "tests/unit/service/daemon_fixture.h"

namespace moddev::daemon {
namespace {

class SigningTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    start_signing({});
  }
  void start_signing(FleetOptions fleet) {
    DaemonOptions options;
    options.fleet = std::move(fleet);
    options.signing_key = key;
    daemon = std::make_unique<Daemon>(options, feed, blobs, *journal, transport);
  }
  /// The statement, if it is signed by the key, good now, for this purpose and about this epoch's content.
  std::optional<Statement> checked(const std::optional<SignedStatement>& signed_statement, Purpose purpose,
                                   Epoch epoch) {
    if (!signed_statement || signed_statement->signer() != key->public_key()) return std::nullopt;
    const auto statement = open(*signed_statement);
    const std::int64_t now_ns = wall().time_since_epoch().count();
    const auto manifest = epoch == 0 ? Result<Manifest>(Manifest{}) : journal->manifest(epoch);
    if (!statement || statement->purpose != purpose || statement->epoch != epoch ||
        statement->repo != journal->id().repo || !manifest || statement->manifest != manifest->digest() ||
        statement->issued_at_ns > now_ns || statement->expires_at_ns <= now_ns) {
      return std::nullopt;
    }
    return *statement;
  }
  template <typename T>
  std::vector<T> all_sent() const {
    std::vector<T> found;
    for (const Event& event : transport.published()) {
      if (const T* match = std::get_if<T>(&event.body)) found.push_back(*match);
    }
    return found;
  }

  std::shared_ptr<const SigningKey> key = std::make_shared<SigningKey>(SigningKey::generate());
};

TEST_F(SigningTest, WithoutAKeyNothingIsSigned) {
  start();
  Executor& executor = add("a");
  write({{"m", "1"}});
  pass(seconds(2));
  EXPECT_FALSE(all_sent<AnnounceEvent>().back().statement);
  EXPECT_FALSE(all_sent<CommitEvent>().back().release);
  EXPECT_FALSE(all_sent<HeartbeatEvent>().back().statement);
  EXPECT_FALSE(executor.last_snapshot.statement);
  EXPECT_FALSE(std::get<HelloReply>(ask(executor, HelloRequest{"x"})).statement);
}

TEST_F(SigningTest, AnAnnouncementIsSignedAndItsCommitDisclosesWhatWasSigned) {
  Executor& slow = add("a");
  slow.mute = true;
  write({{"m", "1"}});
  const AnnounceEvent announce = all_sent<AnnounceEvent>().back();
  const auto statement = checked(announce.statement, Purpose::kProposed, 1);
  ASSERT_TRUE(statement);
  EXPECT_TRUE(all_sent<CommitEvent>().empty());
  slow.mute = false;
  slow.ack(1, AckPhase::kPrepared);
  settle();
  ASSERT_FALSE(all_sent<CommitEvent>().empty());
  const auto release = all_sent<CommitEvent>().back().release;
  ASSERT_TRUE(release);
  EXPECT_EQ(release_digest(*release), statement->detail);
}

TEST_F(SigningTest, EveryEpochHasItsOwnRelease) {
  add("a");
  write({{"m", "1"}});
  write({{"m", "2"}});
  const auto commits = all_sent<CommitEvent>();
  ASSERT_EQ(commits.size(), 2U);
  EXPECT_NE(commits[0].release, commits[1].release);
}

TEST_F(SigningTest, AnswersSayWhatIsCommitted) {
  Executor& executor = add("a");
  EXPECT_TRUE(checked(executor.last_snapshot.statement, Purpose::kCommitted, 0));
  write({{"m", "1"}});
  EXPECT_TRUE(
      checked(std::get<HelloReply>(ask(executor, HelloRequest{"x"})).statement, Purpose::kCommitted, 1));
  EXPECT_TRUE(
      checked(std::get<SnapshotReply>(ask(executor, SnapshotRequest{})).statement, Purpose::kCommitted, 1));
  executor.alive();
  settle();
  EXPECT_TRUE(checked(executor.last<AliveReply>()->statement, Purpose::kCommitted, 1));
  pass(seconds(2));
  EXPECT_TRUE(checked(all_sent<HeartbeatEvent>().back().statement, Purpose::kCommitted, 1));
}

TEST_F(SigningTest, AStatementIsMadeAnewBeforeItGrowsOld) {
  add("a");
  write({{"m", "1"}});
  pass(seconds(2));
  const auto first = all_sent<HeartbeatEvent>().back().statement;
  pass(seconds(2));
  EXPECT_EQ(all_sent<HeartbeatEvent>().back().statement, first) << "signing takes time";
  pass(std::chrono::duration_cast<Duration>(moddev::limits::kStatementRefresh));
  const auto second = all_sent<HeartbeatEvent>().back().statement;
  EXPECT_NE(second, first);
  EXPECT_TRUE(checked(second, Purpose::kCommitted, 1));
}

TEST_F(SigningTest, WhoJoinsDuringALongTrialCanBelieveTheAnnouncement) {
  FleetOptions fleet;
  fleet.canaries.count = 1;
  fleet.canary_time = std::chrono::hours(1);
  start_signing(fleet);
  add("a");
  add("b");
  write({{"m", "1"}});  // the first epoch has a trial like any other
  const auto trials = all_sent<CommitEvent>();
  ASSERT_EQ(trials.size(), 1U);
  ASSERT_EQ(trials[0].only.size(), 1U);
  EXPECT_FALSE(trials[0].release) << "nobody may commit it yet";
  const auto trial = checked(trials[0].statement, Purpose::kTrial, 1);
  ASSERT_TRUE(trial);
  EXPECT_EQ(trial->detail, audience_digest(trials[0].only));
  pass(seconds(300));
  Executor& late = add("late");
  ASSERT_TRUE(late.last_snapshot.pending);
  EXPECT_TRUE(checked(late.last_snapshot.pending->statement, Purpose::kProposed, 1));
}

TEST_F(SigningTest, OnlyWhatWasCommittedIsSignedAsRetained) {
  Executor& executor = add("a");
  write({{"m", "1"}});
  executor.refuses = true;
  write({{"m", "2"}});
  executor.refuses = false;
  write({{"m", "3"}});
  const auto statement_of = [&](Epoch epoch) {
    return std::get<ManifestReply>(ask(executor, ManifestRequest{epoch})).statement;
  };
  EXPECT_TRUE(checked(statement_of(1), Purpose::kRetained, 1));
  EXPECT_FALSE(statement_of(2)) << "it was refused";
  EXPECT_TRUE(checked(statement_of(3), Purpose::kRetained, 3));
}

}  // namespace
}  // namespace moddev::daemon
