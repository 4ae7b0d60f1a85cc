// The audit's notes: what is merged, what is bounded, and what the journal keeps of it.
#include "daemon/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "daemon/journal_lookup.h"
#include "daemon/limits.h"
#include "tests/support/state/scratch.h"

namespace moddev::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class AuditLogTest : public ::testing::Test {
 protected:
  void note(AuditAct act, const std::string& who, const std::string& what, const std::string& address = "") {
    log.note({.act = act, .who = who, .address = address, .what = what}, now, wall());
  }
  [[nodiscard]] WallTime wall() const { return WallTime(now.time_since_epoch()); }
  std::vector<AuditEntry> unwritten() {
    return log.unwritten([](const Digest& digest) { return digest == digest_of("known") ? "scorer 3" : ""; });
  }

  TimePoint now{seconds(1'000)};
  AuditLog log{7};
};

TEST_F(AuditLogTest, EveryActHasAName) {
  for (const AuditAct act : {AuditAct::kConnected, AuditAct::kFetched, AuditAct::kApplied, AuditAct::kFailed,
                             AuditAct::kAsked, AuditAct::kRefused})
    EXPECT_EQ(audit_act_from_string(to_string(act)), act);
  EXPECT_EQ(audit_act_from_string("flew"), std::nullopt);
}

TEST_F(AuditLogTest, TheSameAgainWithinTheIntervalIsOneEntryWithACount) {
  note(AuditAct::kRefused, "10.0.0.9", "no key", "10.0.0.9");
  now += limits::kAuditInterval - milliseconds(1);
  note(AuditAct::kRefused, "10.0.0.9", "no key", "10.0.0.9");
  note(AuditAct::kRefused, "10.0.0.9", "another reason");
  const auto entries = unwritten();
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].id, 8U) << "after those that are in the journal";
  EXPECT_EQ(entries[0].count, 2U);
  EXPECT_EQ(entries[0].last_at - entries[0].first_at, limits::kAuditInterval - milliseconds(1));
  EXPECT_EQ(entries[1].id, 9U);
  now += milliseconds(1);
  note(AuditAct::kRefused, "10.0.0.9", "no key");
  ASSERT_THAT(unwritten(), SizeIs(3)) << "the interval is over, and what was not written yet is kept";
  EXPECT_EQ(unwritten()[0].count, 2U);
  EXPECT_EQ(unwritten()[2].count, 1U);
}

TEST_F(AuditLogTest, IsWrittenTogetherAndAgainOnlyWhenSomethingHasChanged) {
  EXPECT_EQ(log.due(), kNever);
  note(AuditAct::kConnected, "laptop", "");
  EXPECT_EQ(log.due(), now + limits::kAuditDelay);
  now += milliseconds(10);
  note(AuditAct::kConnected, "ci", "");
  EXPECT_EQ(log.due(), now - milliseconds(10) + limits::kAuditDelay)
      << "it waits no longer for what comes later";
  EXPECT_THAT(unwritten(), SizeIs(2));
  log.not_written(now);
  EXPECT_EQ(log.due(), now + limits::kAuditRetry);
  EXPECT_THAT(unwritten(), SizeIs(2));
  log.written(now);
  EXPECT_EQ(log.due(), kNever);
  EXPECT_THAT(unwritten(), SizeIs(0));
  note(AuditAct::kConnected, "ci", "");
  ASSERT_THAT(unwritten(), SizeIs(1));
  EXPECT_EQ(unwritten()[0].id, 9U) << "the same entry";
  EXPECT_EQ(unwritten()[0].count, 2U);
}

TEST_F(AuditLogTest, WhatIsFetchedIsNamedWhenItIsWrittenAndItsPiecesAreOneFetch) {
  for (const std::uint64_t count : {1U, 0U, 0U})
    log.note({.act = AuditAct::kFetched, .who = "laptop", .digest = digest_of("known"), .count = count}, now,
             wall());
  // Somebody who leaves the first piece out has fetched all the same.
  log.note({.act = AuditAct::kFetched, .who = "laptop", .digest = digest_of("old"), .count = 0}, now, wall());
  auto entries = unwritten();
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].what, "scorer 3");
  EXPECT_EQ(entries[0].count, 1U);
  EXPECT_EQ(entries[1].what, digest_of("old").to_string());
  EXPECT_EQ(entries[1].count, 1U);
  log.written(now);
  log.note({.act = AuditAct::kFetched, .who = "laptop", .digest = digest_of("known")}, now, wall());
  entries = unwritten();
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].what, "scorer 3") << "also when it is told again";
  EXPECT_EQ(entries[0].count, 2U);
}

TEST_F(AuditLogTest, AFloodOfDifferentRefusalsIsAFewEntriesAndALastOneWithTheirNumber) {
  for (int minute = 0; minute < 3; ++minute) {
    for (int n = 0; n < 10'000; ++n) note(AuditAct::kRefused, "10.0.0.9", "key " + std::to_string(n));
    note(AuditAct::kConnected, "laptop", "");
    const auto entries = unwritten();
    ASSERT_THAT(entries, SizeIs(limits::kAuditOpenRefusals + 2)) << "and others have their own room";
    const auto rest = std::ranges::find(entries, "others", &AuditEntry::who);
    ASSERT_NE(rest, entries.end());
    EXPECT_EQ(rest->count, 10'000 - limits::kAuditOpenRefusals);
    log.written(now);
    now += limits::kAuditInterval;
  }
}

TEST_F(AuditLogTest, AFloodOfNamesIsBoundedToo) {
  for (int n = 0; n < 5'000; ++n)
    log.note(
        {.act = AuditAct::kApplied, .who = "you", .executor = "w" + std::to_string(n), .what = "epoch 1"},
        now, wall());
  note(AuditAct::kRefused, "10.0.0.9", "no key");
  EXPECT_THAT(unwritten(), SizeIs(limits::kAuditOpenEntries + 2));
}

TEST_F(AuditLogTest, WhatCannotBeWrittenForLongIsBounded) {
  for (int minute = 0; minute < 100; ++minute) {
    for (std::size_t n = 0; n < limits::kAuditOpenRefusals; ++n)
      note(AuditAct::kRefused, "10.0.0.9", "key " + std::to_string(n));
    log.not_written(now);
    now += limits::kAuditInterval;
  }
  const auto entries = unwritten();
  EXPECT_LE(entries.size(), limits::kAuditWaiting + limits::kAuditOpenRefusals);
  EXPECT_EQ(entries.back().id, 7 + 100 * limits::kAuditOpenRefusals) << "the newest are there";
}

TEST_F(AuditLogTest, TextsFromStrangersAreCutAndMadeValid) {
  note(AuditAct::kRefused, std::string(100'000, 'a'), std::string("x\xff") + std::string(100'000, 'b'));
  const auto entries = unwritten();
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].who.size(), limits::kAuditTextBytes);
  EXPECT_EQ(entries[0].what.size(), limits::kAuditTextBytes);
  EXPECT_EQ(entries[0].what.substr(0, 2), "x?");
}

// ------------------------------------------------------------------------------------------ in the journal

class AuditTable : public ::testing::Test {
 protected:
  static AuditEntry entry(std::uint64_t id, AuditAct act = AuditAct::kFetched) {
    return {id,
            act,
            "laptop",
            "10.0.0.2",
            "w",
            "scorer 3",
            testing::at_second(static_cast<std::int64_t>(id)),
            testing::at_second(static_cast<std::int64_t>(id)),
            1};
  }
  std::vector<AuditEntry> read() const {
    std::vector<AuditEntry> entries;
    const Status done = visit_audit(path, [&](const AuditEntry& one) {
      entries.push_back(one);
      return true;
    });
    EXPECT_TRUE(done) << done.error().message;
    return entries;
  }
  testing::Scratch scratch;
  std::filesystem::path path = scratch / "journal";
};

TEST_F(AuditTable, IsReadBesideTheDaemonAndAfterItNewestFirst) {
  {
    const auto journal = testing::open_journal(path);
    EXPECT_EQ(journal->last_audit_id(), 0U);
    ASSERT_TRUE(journal->record_audit(std::vector{entry(1), entry(2, AuditAct::kRefused)}));
    EXPECT_EQ(read(), (std::vector{entry(2, AuditAct::kRefused), entry(1)}));
    AuditEntry again = entry(1);
    again.count = 9;
    again.last_at = testing::at_second(50);
    ASSERT_TRUE(journal->record_audit(std::vector{again}));
    EXPECT_EQ(read(), (std::vector{again, entry(2, AuditAct::kRefused)}))
        << "the same entry, which is the last now";
  }
  EXPECT_THAT(read(), SizeIs(2));
  EXPECT_EQ(testing::open_journal(path)->last_audit_id(), 2U);
}

TEST_F(AuditTable, TheOldestGoFirstAndNeitherKindDrivesTheOtherOut) {
  const auto journal = testing::open_journal(path);
  std::uint64_t id = 0;
  ASSERT_TRUE(journal->record_audit(std::vector{entry(++id)}));
  while (id < limits::kAuditRefusals + 2 * limits::kAuditSlack + 2) {
    std::vector<AuditEntry> entries;
    for (int n = 0; n < 100; ++n) entries.push_back(entry(++id, AuditAct::kRefused));
    ASSERT_TRUE(journal->record_audit(entries));
    ASSERT_LE(read().size(), limits::kAuditRefusals + limits::kAuditSlack + 1);
  }
  const auto entries = read();
  EXPECT_EQ(entries.front().id, id);
  EXPECT_EQ(entries.back(), entry(1)) << "what is no refusal stays";
  EXPECT_GT(entries[entries.size() - 2].id, 2U) << "the oldest refusals went";
  EXPECT_GE(entries.size(), limits::kAuditRefusals);
}

TEST_F(AuditTable, WhereThereIsNoJournalNoneIsMade) {
  EXPECT_EQ(visit_audit(path, [](const AuditEntry&) { return true; }).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace moddev::daemon
