// The promise of the journal under power cuts: a number never stands for two contents of one repo, whatever
// part of the unsynchronised writes has arrived, and the file is always sound.
#include <gtest/gtest.h>

#include "tests/support/state/power_cut.h"
#include "tests/support/state/scratch.h"

namespace moddev::daemon {
namespace {

namespace fs = std::filesystem;

using testing::at_second;
using testing::content;
using testing::next;
using testing::open_journal;

/// All that was ever told to anyone.
struct Told {
  struct Number {
    Uuid repo;
    Epoch epoch = 0;
    auto operator<=>(const Number&) const = default;
  };
  std::map<Number, Digest> epochs;
  std::map<std::pair<Uuid, Version>, Digest> versions;
  std::map<Uuid, Epoch> newest;
  std::map<Uuid, Epoch> committed;

  void announced(const Journal& journal, const EpochRecord& record) {
    const Uuid repo = journal.id().repo;
    const auto [epoch, first] = epochs.emplace(Number{repo, record.epoch}, record.manifest.digest());
    ASSERT_TRUE(first || epoch->second == record.manifest.digest())
        << "epoch " << record.epoch << " was told twice";
    const ModuleEntry& m = *record.manifest.find("m");
    const auto [version, fresh] = versions.emplace(std::pair(repo, m.version), m.digest);
    ASSERT_TRUE(fresh || version->second == m.digest)
        << "version " << m.version << " was told for other bytes";
    newest[repo] = record.epoch;
  }
};

TEST(PowerCut, NeverLetsANumberStandForTwoContents) {
  std::size_t same_repo = 0;
  std::size_t other_repo = 0;
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    testing::Scratch scratch;
    testing::PowerCutDisk disk;
    sim::Random random(seed);
    Told told;
    fs::path path = scratch / "journal0";
    Uuid last_repo;
    bool in_order = false;
    bool something_was_kept = false;
    for (int round = 1; round <= 12; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      auto journal = open_journal(path, round, "boot " + std::to_string(round));
      ASSERT_NE(journal->opened(), Journal::Opened::kReplaced) << journal->notice();
      const Uuid repo = journal->id().repo;
      if (something_was_kept) {
        ASSERT_EQ(journal->opened(), Journal::Opened::kExisting);
      }
      if (in_order) {
        ASSERT_EQ(repo, last_repo) << journal->notice();
      }
      ++(repo == last_repo ? same_repo : other_repo);
      last_repo = repo;
      if (const auto newest = told.newest.find(repo); newest != told.newest.end()) {
        ASSERT_GE(journal->head(), newest->second) << "what was told is missing, and the repo is the same";
        ASSERT_GE(journal->committed().epoch, told.committed[repo]);
        const auto record = journal->manifest(newest->second);
        if (newest->second > journal->forgotten()) {
          ASSERT_TRUE(record.ok()) << record.error().message;
          ASSERT_EQ(record->digest(), (told.epochs.at({repo, newest->second})));
        }
      }
      const auto cut = [&] {
        const fs::path after = scratch / ("journal" + std::to_string(round));
        disk.cut(path, after, random);
        // The witness beside it is written without waiting as well.
        std::error_code ignored;
        if (random.chance(0.5)) fs::copy_file(path.string() + ".lock", after.string() + ".lock", ignored);
        path = after;
      };
      in_order = false;
      something_was_kept = true;
      const std::uint64_t steps = random.below(25);
      for (std::uint64_t step = 0; step < steps; ++step) {
        const EpochRecord record = next(*journal, {{"m", content(std::to_string(random.next()))}}, round);
        ASSERT_TRUE(journal->record_epoch(record));
        ASSERT_NO_FATAL_FAILURE(told.announced(*journal, record));
        if (random.chance(0.7)) {
          ASSERT_TRUE(journal->record_commit(record.epoch, at_second(round)));
          told.committed[repo] = record.epoch;
        } else {
          ASSERT_TRUE(journal->record_abort(record.epoch, {}, at_second(round)));
        }
        if (random.chance(0.05) && journal->committed().epoch > journal->forgotten() + 1) {
          ASSERT_TRUE(journal->forget(journal->committed().epoch - 1, {}));
        }
        if (random.chance(0.05)) {
          // Of many small records, so that there is something to bring on the disk.
          std::vector<AppliedRecord> applied(300);
          for (auto& one : applied) {
            Uuid id;
            for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(random.below(256));
            one = {journal->head(), {id, std::string(400, 'n'), "h", 1}, {}, 1};
          }
          ASSERT_TRUE(journal->record_applied(applied));
          ASSERT_TRUE(journal->tidy());
        }
      }
      if (random.chance(0.4)) {
        journal.reset();
        in_order = true;
        // Some time later, or at once.
        if (random.chance(0.5)) cut();
      } else {
        cut();
      }
    }
  }
  RecordProperty("same_repo", static_cast<int>(same_repo));
  RecordProperty("other_repo", static_cast<int>(other_repo));
  EXPECT_GT(same_repo, 50U);
  EXPECT_GT(other_repo, 50U);
}

}  // namespace
}  // namespace moddev::daemon
