// The journal as somebody reads it who is not its daemon.
#include "daemon/journal_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daemon/journal.h"
#include "tests/support/session/zmq_daemon.h"

namespace moddev::daemon {
namespace {

using ::testing::ElementsAre;

class JournalLookup : public ::testing::Test {
 protected:
  /// A changeset of one module, announced and decided.
  static void record(Journal& journal, const std::string& name, const std::string& content, bool commit) {
    EpochRecord record;
    record.epoch = journal.head() + 1;
    record.base = journal.committed().epoch;
    ModuleEntry entry;
    entry.name = name;
    entry.kind = ModuleKind::kNative;
    entry.version = ++versions_;
    entry.digest = digest_of(content);
    entry.size = content.size();
    entry.path = "lib" + name + ".so";
    record.changes = {
        {journal.committed().find(name) == nullptr ? ChangeKind::kAdded : ChangeKind::kChanged, entry}};
    record.manifest = apply(journal.committed(), record.changes, record.epoch);
    ASSERT_TRUE(journal.record_epoch(record));
    if (commit) {
      ASSERT_TRUE(journal.record_commit(record.epoch, WallTime{}));
    } else {
      ASSERT_TRUE(journal.record_abort(record.epoch, {}, WallTime{}));
    }
  }
  /// "1: a1", one for each epoch: its modules with their versions.
  std::vector<std::string> seen() const {
    std::vector<std::string> epochs;
    const Status read = visit_journal(path_, [&](const Manifest& manifest) {
      std::string text = std::to_string(manifest.epoch) + ":";
      for (const auto& [name, entry] : manifest.modules) text += " " + name + std::to_string(entry.version);
      epochs.push_back(text);
    });
    EXPECT_TRUE(read) << read.error().message;
    return epochs;
  }

  static inline Version versions_ = 0;
  test::PrivateDirectory directory_;
  std::filesystem::path path_ = directory_.path() + "/journal.sqlite";
};

TEST_F(JournalLookup, TellsEveryEpochBesideTheDaemonAndWithoutIt) {
  versions_ = 0;
  {
    auto journal = Journal::open(path_, WallTime{});
    ASSERT_TRUE(journal);
    record(**journal, "a", "1", true);
    record(**journal, "b", "2", true);
    record(**journal, "a", "3", false);
    record(**journal, "b", "4", true);
    EXPECT_THAT(seen(), ElementsAre("1: a1", "2: a1 b2", "3: a3 b2", "4: a1 b4"));
    ASSERT_TRUE((*journal)->forget(2, {}));
    EXPECT_THAT(seen(), ElementsAre("2: a1 b2", "3: a3 b2", "4: a1 b4"));
  }
  EXPECT_THAT(seen(), ElementsAre("2: a1 b2", "3: a3 b2", "4: a1 b4"));
  auto again = Journal::open(path_, WallTime{});
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->opened(), Journal::Opened::kExisting);
}

TEST_F(JournalLookup, WhereThereIsNoneItIsSaidAndNoneIsMade) {
  EXPECT_EQ(visit_journal(path_, [](const Manifest&) {}).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace moddev::daemon
