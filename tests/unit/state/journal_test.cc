#include "daemon/journal.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "daemon/limits.h"
#include "tests/support/state/scratch.h"
#include "tests/support/world/random.h"

namespace moddev::daemon {
namespace {

using testing::abort;
using testing::at_second;
using testing::commit;
using testing::content;
using testing::next;
using testing::open_journal;
using testing::Scratch;

class JournalTest : public ::testing::Test {
 protected:
  Scratch scratch;
  std::filesystem::path path = scratch / "journal";
};

TEST_F(JournalTest, BeginsEmptyUnderANewRepo) {
  const auto journal = open_journal(path);
  EXPECT_EQ(journal->opened(), Journal::Opened::kCreated);
  EXPECT_EQ(journal->notice(), "");
  EXPECT_FALSE(journal->id().repo.is_nil());
  EXPECT_EQ(journal->head(), 0U);
  EXPECT_EQ(journal->committed(), Manifest{});
  EXPECT_TRUE(journal->last_versions().empty());
}

// It tells who did what, and SQLite makes files for everybody to read.
TEST_F(JournalTest, IsForItsUserAloneWhereverItLies) {
  std::filesystem::permissions(path.parent_path(), std::filesystem::perms(0755));
  const auto mode_of = [&](const std::string& companion) {
    struct stat info {};
    EXPECT_EQ(::stat((path.string() + companion).c_str(), &info), 0) << companion;
    return info.st_mode & 07777;
  };
  const mode_t before = ::umask(0);
  {
    const auto journal = open_journal(path);
    commit(*journal, {{"scorer", content("a")}}, 1);
    for (const char* companion : {"", "-wal", "-shm"}) EXPECT_EQ(mode_of(companion), 0600U) << companion;
  }
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  for (const char* companion : {"-wal", "-shm"}) {
    std::ofstream(path.string() + companion) << "";
    ASSERT_EQ(::chmod((path.string() + companion).c_str(), 0666), 0);
  }
  const auto journal = open_journal(path, 10);
  ::umask(before);
  EXPECT_EQ(journal->head(), 1U) << "an older one is tightened, and goes on";
  commit(*journal, {{"scorer", content("b")}}, 11);
  for (const char* companion : {"", "-wal", "-shm"}) EXPECT_EQ(mode_of(companion), 0600U) << companion;
}

TEST_F(JournalTest, RemembersEverythingAcrossRestarts) {
  ModuleSet modules{{"base", content("x")}, {"scorer", content("a", {"base"})}};
  DaemonId id;
  Manifest committed;
  {
    const auto journal = open_journal(path);
    id = journal->id();
    commit(*journal, modules, 10);
    modules["scorer"] = content("b");
    abort(*journal, modules, 20);
    modules["scorer"] = content("c");
    modules.erase("base");
    commit(*journal, modules, 30);
    committed = journal->committed();
  }
  const auto journal = open_journal(path, 100);
  EXPECT_EQ(journal->opened(), Journal::Opened::kExisting);
  EXPECT_EQ(journal->notice(), "");
  EXPECT_EQ(journal->id().repo, id.repo);
  EXPECT_NE(journal->id().incarnation, id.incarnation);
  EXPECT_EQ(journal->head(), 3U);
  EXPECT_EQ(journal->committed(), committed);
  EXPECT_EQ(committed.epoch, 3U);
  EXPECT_EQ(journal->last_versions().at("scorer"), (LastVersion{3, digest_of("c")}));
  EXPECT_EQ(journal->last_versions().at("base"), (LastVersion{1, digest_of("x")}));

  const auto aborted = journal->epoch(2);
  ASSERT_TRUE(aborted.ok()) << aborted.error().message;
  EXPECT_EQ(aborted->state, EpochState::kAborted);
  EXPECT_EQ(aborted->base, 1U);
  EXPECT_EQ(aborted->announced_at, at_second(20));
  EXPECT_EQ(aborted->decided_at, at_second(20));
  ASSERT_EQ(aborted->failures.size(), 1U);
  EXPECT_EQ(aborted->failures[0], (ExecutorFailure{"worker-1", "m", "undefined symbol: weight"}));
  EXPECT_EQ(aborted->manifest.find("scorer")->digest, digest_of("b"));
  EXPECT_EQ(journal->manifest(2)->find("scorer")->version, 2U);
  EXPECT_EQ(journal->manifest(1)->find("base")->version, 1U);
  EXPECT_EQ(journal->manifest(1)->find("scorer")->depends_on, std::vector<std::string>{"base"});
  EXPECT_EQ(*journal->manifest(0), Manifest{});
  EXPECT_EQ(journal->epoch(4).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(journal->manifest(4).error().code, ErrorCode::kNotFound);
}

TEST_F(JournalTest, WhatWasOnlyAnnouncedIsAbortedAtTheNextStart) {
  {
    const auto journal = open_journal(path);
    commit(*journal, {{"m", content("a")}});
    ASSERT_TRUE(journal->record_epoch(next(*journal, {{"m", content("b")}})));
  }
  const auto journal = open_journal(path, 77);
  EXPECT_EQ(journal->head(), 2U);
  EXPECT_EQ(journal->committed().epoch, 1U);
  const auto record = journal->epoch(2);
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->state, EpochState::kAborted);
  EXPECT_EQ(record->decided_at, at_second(77));
  EXPECT_TRUE(record->failures.empty());
  // Neither the epoch's nor the version's number is given again.
  const EpochRecord after = next(*journal, {{"m", content("c")}});
  EXPECT_EQ(after.epoch, 3U);
  EXPECT_EQ(after.manifest.find("m")->version, 3U);
}

TEST_F(JournalTest, AnEpochThatWasNeverDecidedIsAbortedByTheNext) {
  const auto journal = open_journal(path);
  ASSERT_TRUE(journal->record_epoch(next(*journal, {{"m", content("a")}})));
  commit(*journal, {{"m", content("b")}}, 9);
  EXPECT_EQ(journal->epoch(1)->state, EpochState::kAborted);
  EXPECT_EQ(journal->epoch(1)->decided_at, at_second(9));
  EXPECT_EQ(journal->committed().find("m")->version, 2U);
}

TEST_F(JournalTest, ASecondDaemonIsToldTheFirstOnesPid) {
  const auto journal = open_journal(path);
  const auto second = Journal::open(path, at_second(0));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(second.error().message.find("(pid " + std::to_string(::getpid()) + ")"), std::string::npos)
      << second.error().message;
  // The refused one left no trace.
  commit(*journal, {{"m", content("a")}});
}

TEST_F(JournalTest, TheLockGoesWithTheJournal) {
  open_journal(path);
  EXPECT_EQ(open_journal(path)->opened(), Journal::Opened::kExisting);
}

TEST_F(JournalTest, AfterACrashOnTheSameBootTheRepoStays) {
  Uuid repo;
  {
    const auto journal = open_journal(path, 0, "boot one");
    repo = journal->id().repo;
    commit(*journal, {{"m", content("a")}});
    // As a killed process leaves it.
    for (const char* suffix : {"", "-wal", ".lock"}) {
      std::filesystem::copy_file(path.string() + suffix, (scratch / "copy").string() + suffix);
    }
  }
  const auto journal = open_journal(scratch / "copy", 5, "boot one");
  EXPECT_EQ(journal->id().repo, repo);
  EXPECT_EQ(journal->notice(), "");
  EXPECT_EQ(journal->committed().epoch, 1U);
}

TEST_F(JournalTest, AfterACrashOfTheMachineTheHistoryGoesOnUnderANewRepo) {
  Uuid repo;
  {
    const auto journal = open_journal(path, 0, "boot one");
    repo = journal->id().repo;
    commit(*journal, {{"m", content("a")}});
    for (const char* suffix : {"", "-wal", ".lock"}) {
      std::filesystem::copy_file(path.string() + suffix, (scratch / "copy").string() + suffix);
    }
  }
  Uuid second;
  {
    const auto journal = open_journal(scratch / "copy", 5, "boot two");
    second = journal->id().repo;
    EXPECT_NE(second, repo);
    EXPECT_NE(journal->notice().find("machine went down"), std::string::npos) << journal->notice();
    EXPECT_EQ(journal->opened(), Journal::Opened::kExisting);
    EXPECT_EQ(journal->committed().epoch, 1U) << "what is there is kept";
  }
  // Left in order: another start of the machine changes nothing.
  EXPECT_EQ(open_journal(scratch / "copy", 6, "boot three")->id().repo, second);
  EXPECT_EQ(open_journal(path, 6, "boot three")->id().repo, repo);
}

TEST_F(JournalTest, AnOldCopyThatWasPutBackIsNoticed) {
  {
    const auto journal = open_journal(path);
    commit(*journal, {{"m", content("a")}});
  }
  std::filesystem::copy_file(path, scratch / "backup");
  Uuid repo;
  {
    const auto journal = open_journal(path);
    repo = journal->id().repo;
    commit(*journal, {{"m", content("b")}});
  }
  std::filesystem::copy_file(scratch / "backup", path, std::filesystem::copy_options::overwrite_existing);
  const auto journal = open_journal(path);
  EXPECT_NE(journal->id().repo, repo) << "epoch 2 would stand for two contents";
  EXPECT_NE(journal->notice().find("an old copy was put back"), std::string::npos) << journal->notice();
  EXPECT_EQ(journal->committed().epoch, 1U);
  commit(*journal, {{"m", content("c")}});
}

TEST_F(JournalTest, AMissingHistoryIsSaidPlainly) {
  Uuid repo;
  {
    const auto journal = open_journal(path);
    repo = journal->id().repo;
    commit(*journal, {{"m", content("a")}});
  }
  std::filesystem::remove(path);
  const auto journal = open_journal(path);
  EXPECT_EQ(journal->opened(), Journal::Opened::kCreated);
  EXPECT_NE(journal->id().repo, repo);
  EXPECT_NE(journal->notice().find("is missing, although moddev has used it before"), std::string::npos)
      << journal->notice();
  EXPECT_EQ(journal->head(), 0U);
}

TEST_F(JournalTest, WhoAppliedWhatIsRecordedOnce) {
  const auto journal = open_journal(path);
  const Epoch epoch = commit(*journal, {{"m", content("a")}});
  std::vector<AppliedRecord> records(3);
  for (std::size_t i = 0; i < records.size(); ++i) {
    records[i].epoch = epoch;
    records[i].executor = {Uuid::random(), "worker-" + std::to_string(i), "host",
                           static_cast<std::int64_t>(100 + i)};
    records[i].at = at_second(static_cast<std::int64_t>(10 - i));
    records[i].elapsed_us = 42;
  }
  ASSERT_TRUE(journal->record_applied(records));
  records[0].elapsed_us = 1;
  ASSERT_TRUE(journal->record_applied(records[0])) << "an ack that was repeated";
  const auto applied = journal->applied(epoch);
  ASSERT_TRUE(applied.ok());
  ASSERT_EQ(applied->size(), 3U);
  EXPECT_EQ((*applied)[0].executor.name, "worker-2") << "the first comes first";
  EXPECT_EQ((*applied)[2].executor, records[0].executor);
  EXPECT_EQ((*applied)[2].elapsed_us, 42);
  EXPECT_EQ(journal->applied(epoch, 2)->size(), 2U);
  EXPECT_EQ(*journal->applied_count(epoch), 3U);
  EXPECT_EQ(*journal->applied_count(epoch + 1), 0U);
}

TEST_F(JournalTest, HistoryTellsWhatTouchedAModule) {
  const auto journal = open_journal(path);
  ModuleSet modules{{"a", content("1")}, {"b", content("1")}};
  commit(*journal, modules);
  modules["a"] = content("2");
  commit(*journal, modules);
  modules["b"] = content("2");
  abort(*journal, modules);
  modules.erase("a");
  commit(*journal, modules);

  const auto all = journal->history("", 10);
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 4U);
  EXPECT_EQ((*all)[0].epoch, 4U);
  EXPECT_EQ((*all)[0].changes.size(), 2U);
  EXPECT_EQ((*all)[1].failures.size(), 1U);
  EXPECT_EQ(journal->history("", 2)->size(), 2U);
  EXPECT_EQ(journal->history("", 2, 3)->front().epoch, 2U);

  const auto of_a = journal->history("a", 10);
  ASSERT_EQ(of_a->size(), 3U);
  EXPECT_EQ((*of_a)[0].changes.size(), 1U);
  EXPECT_EQ((*of_a)[0].changes[0].change, ChangeKind::kRemoved);
  EXPECT_EQ((*of_a)[1].epoch, 2U);
  EXPECT_EQ((*of_a)[2].changes.size(), 1U) << "only what touched it";
  EXPECT_TRUE(journal->history("nobody", 10)->empty());
}

TEST_F(JournalTest, AVersionIsFoundWhereItWasCommitted) {
  const auto journal = open_journal(path);
  commit(*journal, {{"m", content("1")}});
  abort(*journal, {{"m", content("2")}});
  commit(*journal, {{"m", content("2")}, {"n", content("cure")}});
  commit(*journal, {{"m", content("3")}, {"n", content("cure")}});
  const auto second = journal->version("m", 2);
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ(second->epoch, 3U);
  EXPECT_EQ(second->state, EpochState::kCommitted);
  EXPECT_EQ(second->module.digest, digest_of("2"));
  EXPECT_EQ(journal->version_before("m", 3)->module.version, 2U);
  EXPECT_EQ(journal->version_before("m", 2)->module.version, 1U);
  EXPECT_EQ(journal->version_before("m", 1).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(journal->version("m", 9).error().code, ErrorCode::kNotFound);
}

TEST_F(JournalTest, TheLogIsBoundedAndTidiedWhenThereIsTime) {
  const auto journal = open_journal(path);
  const auto log_size = [&] { return std::filesystem::file_size(path.string() + "-wal"); };
  int epochs = 0;
  std::uintmax_t grew = 0;
  while (grew < std::uintmax_t{limits::kJournalTidyPages + 8} * 4'120) {  // a page and its frame's header
    commit(*journal, {{"m", content(std::to_string(++epochs))}});
    ASSERT_LT(epochs, 1'000);
    grew = log_size();
  }
  ASSERT_TRUE(journal->tidy());
  for (int i = 0; i < 30; ++i) commit(*journal, {{"m", content(std::to_string(++epochs))}});
  EXPECT_LE(log_size(), grew + 64 * 1024) << "after tidying the log begins again at its start";
  // Without anybody tidying there is a bound as well.
  std::vector<AppliedRecord> records(2'000);
  for (int round = 0; round < 12; ++round) {
    for (auto& record : records) {
      record.epoch = journal->head();
      record.executor = {Uuid::random(), std::string(200, 'n'), "host", 1};
    }
    ASSERT_TRUE(journal->record_applied(records));
  }
  EXPECT_LE(log_size(), std::uintmax_t{limits::kJournalLogPages} * 4'120 + 8 * 1024 * 1024);
}

// ---------------------------------------------------------------------------------------------- holds

Hold some_hold() {
  return {content("old", {"base"}), 3, digest_of("in the directory"), "build/libscorer.so"};
}

TEST_F(JournalTest, HoldsCountFromTheCommitAndSurviveARestart) {
  {
    const auto journal = open_journal(path);
    commit(*journal, {{"m", content("a")}});
    EpochRecord record = next(*journal, {{"m", content("old")}});
    record.cause = "rollback of m to version 1";
    record.restores = 7;
    record.holds = HoldSet{{"m", some_hold()}, {"gone", Hold{std::nullopt, 0, digest_of("x"), "gone.py"}}};
    ASSERT_TRUE(journal->record_epoch(record));
    EXPECT_TRUE(journal->holds().empty());
    ASSERT_TRUE(journal->record_commit(record.epoch, at_second(1)));
    EXPECT_EQ(journal->holds(), *record.holds);
  }
  {
    const auto journal = open_journal(path);
    EXPECT_EQ(journal->holds().size(), 2U);
    EXPECT_EQ(journal->holds().at("m"), some_hold());
    EXPECT_FALSE(journal->holds().at("gone").content.has_value());
    EXPECT_EQ(journal->epoch(2)->cause, "rollback of m to version 1");
    EXPECT_EQ(journal->epoch(2)->restores, 7U);
    commit(*journal, {{"m", content("old")}, {"n", content("new")}});
    EXPECT_EQ(journal->holds().size(), 2U) << "an ordinary epoch leaves them alone";
    ASSERT_TRUE(journal->end_holds({"m"}));
    EXPECT_EQ(journal->holds().size(), 1U);
  }
  EXPECT_EQ(open_journal(path)->holds().size(), 1U);
}

TEST_F(JournalTest, ARollbackThatIsRefusedOrNeverDecidedHoldsNothing) {
  {
    const auto journal = open_journal(path);
    commit(*journal, {{"m", content("a")}});
    EpochRecord record = next(*journal, {{"m", content("old")}});
    record.holds = HoldSet{{"m", some_hold()}};
    ASSERT_TRUE(journal->record_epoch(record));
    ASSERT_TRUE(journal->record_abort(record.epoch, {}, at_second(1)));
    EXPECT_TRUE(journal->holds().empty());
    record = next(*journal, {{"m", content("older")}});
    record.holds = HoldSet{{"m", some_hold()}};
    ASSERT_TRUE(journal->record_epoch(record));
    // Never decided: the next epoch aborts it.
    commit(*journal, {{"m", content("b")}});
    EXPECT_TRUE(journal->holds().empty());
    record = next(*journal, {{"m", content("oldest")}});
    record.holds = HoldSet{{"m", some_hold()}};
    ASSERT_TRUE(journal->record_epoch(record));
    // Never decided: the daemon ends.
  }
  EXPECT_TRUE(open_journal(path)->holds().empty());
  EXPECT_TRUE(open_journal(path)->holds().empty()) << "nor at the second start";
}

TEST_F(JournalTest, ARollbackReplacesWhatWasHeldBefore) {
  const auto journal = open_journal(path);
  commit(*journal, {{"m", content("a")}});
  for (const char* bytes : {"old", "older"}) {
    EpochRecord record = next(*journal, {{"m", content(bytes)}});
    record.holds = std::string_view(bytes) == "old" ? HoldSet{{"m", some_hold()}} : HoldSet{};
    ASSERT_TRUE(journal->record_epoch(record));
    ASSERT_TRUE(journal->record_commit(record.epoch, at_second(1)));
    EXPECT_EQ(journal->holds(), *record.holds);
  }
}

// ------------------------------------------------------------------------------------------ forgetting

TEST_F(JournalTest, ForgettingKeepsNumbersAndWhatIsPinned) {
  const auto check = [](Journal& journal) {
    EXPECT_EQ(journal.forgotten(), 5U);
    EXPECT_EQ(journal.head(), 8U);
    EXPECT_EQ(journal.committed().find("m")->version, 8U);
    EXPECT_EQ(journal.committed().find("stays")->version, 1U);
    EXPECT_EQ(journal.last_versions().at("gone"), (LastVersion{1, digest_of("once")}));
    EXPECT_EQ(journal.epoch(5).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(journal.manifest(2).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(journal.manifest(2).error().message,
              "epoch 2 is not in the history any more: it goes back to epoch 6");
    ASSERT_TRUE(journal.manifest(3).ok()) << "pinned";
    EXPECT_EQ(journal.manifest(3)->find("m")->digest, digest_of("3"));
    EXPECT_EQ(journal.epoch(3).error().code, ErrorCode::kNotFound)
        << "of a pinned epoch only the manifest stays";
    ASSERT_TRUE(journal.epoch(6).ok());
    EXPECT_EQ(journal.epoch(6)->manifest.find("stays")->version, 1U);
    EXPECT_EQ(journal.history("", 100)->size(), 3U);
    EXPECT_EQ(journal.history("m", 100)->size(), 3U);
    const auto referenced = journal.referenced();
    ASSERT_TRUE(referenced.ok());
    EXPECT_TRUE(referenced->contains(digest_of("3")));
    EXPECT_TRUE(referenced->contains(digest_of("5"))) << "the manifest that epoch 6 leads on from";
    EXPECT_TRUE(referenced->contains(digest_of("static")));
    EXPECT_FALSE(referenced->contains(digest_of("2")));
    EXPECT_FALSE(referenced->contains(digest_of("once")));
  };
  {
    const auto journal = open_journal(path);
    commit(*journal, {{"m", content("1")}, {"stays", content("static")}, {"gone", content("once")}});
    for (int i = 2; i <= 8; ++i)
      commit(*journal, {{"m", content(std::to_string(i))}, {"stays", content("static")}});
    ASSERT_TRUE(journal->forget(5, {3, 7}));
    check(*journal);
  }
  const auto journal = open_journal(path);
  check(*journal);
  // A module that comes back goes on from its number.
  EXPECT_EQ(next(*journal, {{"gone", content("again")}}).manifest.find("gone")->version, 2U);
  ASSERT_TRUE(journal->forget(5, {}));
  EXPECT_EQ(journal->manifest(3).error().code, ErrorCode::kNotFound) << "no longer pinned";
  ASSERT_TRUE(journal->forget(4, {})) << "older is forgotten already";
  EXPECT_EQ(journal->forgotten(), 5U);
}

TEST_F(JournalTest, ForgettingOnlyAbortedEpochsLeavesTheEmptyBeginning) {
  {
    const auto journal = open_journal(path);
    abort(*journal, {{"m", content("1")}});
    abort(*journal, {{"m", content("2")}});
    commit(*journal, {{"m", content("3")}});
    ASSERT_TRUE(journal->forget(2, {}));
  }
  const auto journal = open_journal(path);
  EXPECT_EQ(journal->committed().find("m")->version, 3U);
  EXPECT_EQ(journal->manifest(3)->modules.size(), 1U);
  EXPECT_EQ(journal->epoch(3)->base, 0U);
}

TEST_F(JournalTest, RandomHistoriesReadBackAsTheyWereWritten) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto file = scratch / ("random" + std::to_string(seed));
    sim::Random random(seed);
    std::map<Epoch, Manifest> manifests;
    std::map<Epoch, EpochState> states;
    std::set<Epoch> pinned;
    ModuleSet modules;
    auto journal = open_journal(file);
    const Uuid repo = journal->id().repo;
    for (int step = 0; step < 40; ++step) {
      const std::string name(1, static_cast<char>('a' + random.below(4)));
      if (random.chance(0.2)) {
        modules.erase(name);
      } else {
        modules[name] = content(std::to_string(random.next()));
      }
      if (auto record = next_epoch(modules, journal->committed(), nullptr, journal->head(),
                                   journal->last_versions(), at_second(step))) {
        ASSERT_TRUE(journal->record_epoch(*record));
        manifests[record->epoch] = record->manifest;
        const bool goes_well = random.chance(0.7);
        states[record->epoch] = goes_well ? EpochState::kCommitted : EpochState::kAborted;
        if (goes_well) {
          ASSERT_TRUE(journal->record_commit(record->epoch, at_second(step)));
        } else if (random.chance(0.5)) {
          ASSERT_TRUE(journal->record_abort(record->epoch, {}, at_second(step)));
        }
      }
      if (random.chance(0.1)) {
        const Manifest committed = journal->committed();
        const LastVersions last = journal->last_versions();
        const Epoch head = journal->head();
        journal.reset();
        journal = open_journal(file, step);
        ASSERT_EQ(journal->notice(), "");
        ASSERT_EQ(journal->id().repo, repo);
        ASSERT_EQ(journal->committed(), committed);
        ASSERT_EQ(journal->last_versions(), last);
        ASSERT_EQ(journal->head(), head);
      }
      if (random.chance(0.1) && journal->committed().epoch > journal->forgotten() + 1) {
        const Epoch from = journal->forgotten() + 1;
        const Epoch until = from + random.below(journal->committed().epoch - from);
        std::erase_if(pinned, [&](Epoch) { return random.chance(0.5); });
        if (const Epoch pin = from + random.below(until - from + 1); states[pin] == EpochState::kCommitted)
          pinned.insert(pin);
        ASSERT_TRUE(journal->forget(until, pinned));
      }
    }
    for (const auto& [epoch, manifest] : manifests) {
      const auto read = journal->manifest(epoch);
      if (epoch > journal->forgotten() || pinned.contains(epoch)) {
        ASSERT_TRUE(read.ok()) << epoch << ": " << read.error().message;
        ASSERT_EQ(*read, manifest);
      }
      if (epoch <= journal->forgotten() || epoch == journal->head()) continue;
      ASSERT_EQ(journal->epoch(epoch)->state, states[epoch]);
    }
  }
}

}  // namespace
}  // namespace moddev::daemon
