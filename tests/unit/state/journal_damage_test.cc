// What becomes of a journal that is not what was written: set aside and said, or read exactly as it was.
// Never something in between.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "daemon/limits.h"
#include "tests/support/state/scratch.h"
#include "tests/support/world/random.h"

namespace moddev::daemon {
namespace {

namespace fs = std::filesystem;

using testing::at_second;
using testing::commit;
using testing::content;
using testing::next;
using testing::open_journal;
using testing::read_file;
using testing::Scratch;
using testing::write_file;

class DamageTest : public ::testing::Test {
 protected:
  /// A history of a few epochs, closed in order, and what it holds.
  void SetUp() override {
    const auto journal = open_journal(path);
    ModuleSet modules{{"base", content("x")}, {"scorer", content("a", {"base"})}};
    commit(*journal, modules);
    for (int i = 0; i < 6; ++i) {
      modules["scorer"] = content("version " + std::to_string(i));
      if (i == 3) {
        testing::abort(*journal, modules);
      } else {
        commit(*journal, modules);
      }
    }
    ASSERT_TRUE(journal->forget(2, {1}));
    EpochRecord record = next(*journal, {{"base", content("x")}, {"scorer", content("rolled back")}});
    record.holds = HoldSet{{"scorer", Hold{content("rolled back"), 2, digest_of("dir"), "lib/some.so"}}};
    ASSERT_TRUE(journal->record_epoch(record));
    ASSERT_TRUE(journal->record_commit(record.epoch, at_second(3)));
    ASSERT_TRUE(journal->record_runs(std::vector{RunRecord{{}, {"scorer", 1, 1, 1, 1, 1}, at_second(3)}}));
    // The last page must not be empty: of that a part can go without harm.
    ASSERT_TRUE(
        journal->record_audit(std::vector{AuditEntry{1, AuditAct::kApplied, "laptop", "", "w", "epoch 9"}}));
    repo = journal->id().repo;
    committed = journal->committed();
    last = journal->last_versions();
    head = journal->head();
    holds = journal->holds();
    for (Epoch epoch = 3; epoch <= head; ++epoch) records.push_back(*journal->epoch(epoch));
    pinned = *journal->manifest(1);
  }
  void TearDown() override { EXPECT_FALSE(records.empty()); }

  void expect_set_aside(Journal& journal) const {
    EXPECT_EQ(journal.opened(), Journal::Opened::kReplaced);
    EXPECT_NE(journal.id().repo, repo);
    EXPECT_EQ(journal.head(), 0U);
    EXPECT_EQ(journal.committed(), Manifest{});
    EXPECT_TRUE(journal.last_versions().empty());
    EXPECT_TRUE(journal.holds().empty());
    EXPECT_NE(journal.notice().find("was damaged"), std::string::npos) << journal.notice();
    EXPECT_NE(journal.notice().find("new repo id"), std::string::npos) << journal.notice();
    // What was set aside is where the notice says.
    const std::size_t start = journal.notice().find("kept as '") + 9;
    EXPECT_TRUE(fs::exists(journal.notice().substr(start, journal.notice().find('\'', start) - start)))
        << journal.notice();
  }
  void expect_unharmed(const Journal& journal) const {
    EXPECT_EQ(journal.head(), head);
    EXPECT_EQ(journal.committed(), committed);
    EXPECT_EQ(journal.last_versions(), last);
    EXPECT_EQ(journal.holds(), holds);
    const auto one = journal.manifest(1);
    EXPECT_TRUE(one.ok() ? *one == pinned : one.error().code == ErrorCode::kCorrupt);
    for (const EpochRecord& record : records) {
      const auto read = journal.epoch(record.epoch);
      ASSERT_TRUE(read.ok()) << read.error().message;
      EXPECT_EQ(read->manifest, record.manifest);
      EXPECT_EQ(read->changes, record.changes);
      EXPECT_EQ(read->state, record.state);
      EXPECT_EQ(read->cause, record.cause);
    }
  }

  Scratch scratch;
  fs::path path = scratch / "journal";
  Uuid repo;
  Manifest committed;
  LastVersions last;
  Epoch head = 0;
  HoldSet holds;
  std::vector<EpochRecord> records;
  Manifest pinned;
};

TEST_F(DamageTest, CutOffAnywhereItIsSetAside) {
  const std::string whole = read_file(path);
  for (std::size_t size :
       {std::size_t{99}, std::size_t{4'096}, whole.size() / 2, whole.size() - 4'096, whole.size() - 1}) {
    SCOPED_TRACE(size);
    write_file(path, whole.substr(0, size));
    fs::remove(path.string() + ".lock");
    const auto journal = open_journal(path);
    expect_set_aside(*journal);
    commit(*journal, {{"m", content("life goes on")}});
  }
}

TEST_F(DamageTest, OverwrittenWithAnythingItIsSetAside) {
  write_file(path, std::string(50'000, 'z'));
  expect_set_aside(*open_journal(path));
  for (const char* nothing : {"", "x"}) {
    write_file(path, nothing);
    const auto journal = open_journal(path, 5);
    EXPECT_NE(journal->id().repo, repo);
    EXPECT_EQ(journal->head(), 0U);
    EXPECT_NE(journal->notice().find("was empty"), std::string::npos) << journal->notice();
  }
}

TEST_F(DamageTest, AFlippedBitIsNoticedOrHarmless) {
  const std::string whole = read_file(path);
  sim::Random random(20'251'125);
  int set_aside = 0;
  for (int round = 0; round < 400; ++round) {
    std::string damaged = whole;
    const std::size_t at = random.below(damaged.size());
    const auto bit = static_cast<char>(1 << random.below(8));
    damaged[at] = static_cast<char>(damaged[at] ^ bit);
    SCOPED_TRACE("round " + std::to_string(round) + ", byte " + std::to_string(at) + ", bit " +
                 std::to_string(bit));
    const fs::path copy = scratch / ("flip" + std::to_string(round));
    write_file(copy, damaged);
    auto opened = Journal::open(copy, at_second(9), "this boot");
    if (!opened) {
      // The one digit that makes an older file a newer one.
      EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported) << opened.error().message;
    } else if ((*opened)->opened() == Journal::Opened::kReplaced) {
      ++set_aside;
      expect_set_aside(**opened);
    } else {
      // Another repo id is as good as a new one.
      expect_unharmed(**opened);
    }
    if (HasFailure()) return;
    for (const char* suffix : {"", "-wal", "-shm", ".lock"}) fs::remove(copy.string() + suffix);
  }
  EXPECT_GT(set_aside, 20) << "too few of the flips hit anything";
}

TEST_F(DamageTest, ALogThatLostItsEndIsNoticed) {
  const fs::path copy = scratch / "killed";
  {
    const auto journal = open_journal(path);
    commit(*journal, {{"scorer", content("one")}});
    commit(*journal, {{"scorer", content("two")}});
    for (const char* suffix : {"", "-wal", ".lock"})
      fs::copy_file(path.string() + suffix, copy.string() + suffix);
  }
  const std::string log = read_file(copy.string() + "-wal");
  std::string damaged = log;
  damaged[log.size() / 2] = static_cast<char>(damaged[log.size() / 2] ^ 4);
  write_file(copy.string() + "-wal", damaged);
  const auto journal = open_journal(copy);
  EXPECT_LT(journal->head(), head + 2);
  EXPECT_NE(journal->id().repo, repo) << "numbers that were announced would be given again";
  EXPECT_NE(journal->notice().find("its end was lost"), std::string::npos) << journal->notice();
  EXPECT_EQ(journal->opened(), Journal::Opened::kExisting) << "what is left is kept";
}

TEST_F(DamageTest, OnlySoManyDamagedJournalsAreKept) {
  std::set<fs::path> seen;
  for (std::size_t n = 0; n < limits::kDamagedJournalsKept + 3; ++n) {
    write_file(path, "no journal");
    open_journal(path, static_cast<std::int64_t>(100 + n / 2));  // two in the same second
  }
  for (const auto& entry : fs::directory_iterator(scratch.path())) {
    if (entry.path().string().find(".damaged-") != std::string::npos) seen.insert(entry.path());
  }
  EXPECT_EQ(seen.size(), limits::kDamagedJournalsKept);
  EXPECT_EQ(fs::exists(path.string() + ".damaged-1764000103"), true) << "the newest stays";
  EXPECT_EQ(fs::exists(path.string() + ".damaged-1764000100"), false) << "the oldest went";
}

TEST_F(DamageTest, ADirectoryInItsPlaceIsAnErrorAndStays) {
  fs::create_directory(scratch / "taken");
  const auto opened = Journal::open(scratch / "taken", at_second(0));
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kIo);
  EXPECT_NE(opened.error().message.find("taken"), std::string::npos) << opened.error().message;
  EXPECT_TRUE(fs::is_directory(scratch / "taken"));
  EXPECT_FALSE(Journal::open(scratch / "no" / "such" / "directory", at_second(0)).ok());
}

/// Runs `body` in a child with a file system of `bytes` mounted at `mount_point`, in a mount namespace of its
/// own. Returns its exit code, or nothing when that is not allowed here.
std::optional<int> with_small_disk(const fs::path& mount_point, const std::string& bytes,
                                   int (*body)(const fs::path&)) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, ("size=" + bytes).c_str()) != 0) {
      ::_exit(77);
    }
    int code = 1;
    try {
      code = body(mount_point);
    } catch (const std::exception& problem) {
      std::fprintf(stderr, "%s\n", problem.what());
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) return std::nullopt;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define CHECK_IN_CHILD(condition)                                                  \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      return 1;                                                                    \
    }                                                                              \
  } while (false)

int fill_the_disk(const fs::path& disk) {
  const fs::path file = disk / "journal";
  Manifest committed;
  Epoch head = 0;
  {
    auto journal = open_journal(file);
    commit(*journal, {{"m", content("first")}});
    const fs::path ballast = disk / "ballast";
    // Everything but a few pages.
    std::ofstream fill(ballast, std::ios::binary);
    const std::string page(4'096, 'b');
    for (int i = 0; i < 100'000 && fill.write(page.data(), 4'096).flush(); ++i) {
    }
    fill.close();
    fs::resize_file(ballast, fs::file_size(ballast) > 65'536 ? fs::file_size(ballast) - 65'536 : 0);
    bool refused = false;
    for (int i = 0; i < 1'000 && !refused; ++i) {
      const EpochRecord record = next(*journal, {{"m", content("more " + std::to_string(i))}});
      committed = journal->committed();
      head = journal->head();
      Status recorded = journal->record_epoch(record);
      if (!recorded) {
        CHECK_IN_CHILD(recorded.error().code == ErrorCode::kLimit || recorded.error().code == ErrorCode::kIo);
        CHECK_IN_CHILD(journal->head() == head);
        refused = true;
      } else if (Status decided = journal->record_commit(record.epoch, at_second(i)); !decided) {
        // Not decided: asked again later.
        CHECK_IN_CHILD(journal->committed() == committed);
        fs::remove(ballast);
        CHECK_IN_CHILD(journal->record_commit(record.epoch, at_second(i)).ok());
        refused = true;
      }
    }
    CHECK_IN_CHILD(refused);
    fs::remove(ballast);
    commit(*journal, {{"m", content("there is room again")}});
    committed = journal->committed();
    head = journal->head();
  }
  const auto journal = open_journal(file);
  CHECK_IN_CHILD(journal->notice().empty());
  CHECK_IN_CHILD(journal->committed() == committed);
  CHECK_IN_CHILD(journal->head() == head);
  return 0;
}

TEST_F(DamageTest, AFullDiskRefusesRecordsAndLosesNone) {
  const fs::path disk = scratch / "disk";
  fs::create_directory(disk);
  const auto code = with_small_disk(disk, "512k", fill_the_disk);
  if (!code) GTEST_SKIP() << "a small file system can only be mounted by root";
  EXPECT_EQ(*code, 0);
}

int start_on_a_full_disk(const fs::path& disk) {
  const fs::path file = disk / "journal";
  {
    std::ofstream fill(disk / "ballast", std::ios::binary);
    const std::string page(4'096, 'b');
    for (int i = 0; i < 100'000 && fill.write(page.data(), 4'096).flush(); ++i) {
    }
  }
  const auto refused = Journal::open(file, at_second(0), "this boot");
  CHECK_IN_CHILD(!refused.ok());
  CHECK_IN_CHILD(refused.error().code != ErrorCode::kCorrupt);
  fs::remove(disk / "ballast");
  const auto journal = open_journal(file);
  CHECK_IN_CHILD(journal->head() == 0);
  commit(*journal, {{"m", content("a")}});
  return 0;
}

TEST_F(DamageTest, AStartOnAFullDiskSpoilsNothing) {
  const fs::path disk = scratch / "disk";
  fs::create_directory(disk);
  const auto code = with_small_disk(disk, "512k", start_on_a_full_disk);
  if (!code) GTEST_SKIP() << "a small file system can only be mounted by root";
  EXPECT_EQ(*code, 0);
}

// With its lock gone as well it was taken for a first start.
TEST_F(DamageTest, AMissingHistoryIsSaidWhereOnlyBlobsAreLeft) {
  for (const char* suffix : {"", ".lock", "-wal", "-shm"}) fs::remove(path.string() + suffix);
  fs::create_directories(path.parent_path() / "blobs" / "tmp");
  fs::create_directories(path.parent_path() / "blobs" / "ab");
  EXPECT_EQ(open_journal(path)->notice(), "") << "nothing was ever kept";
  for (const char* suffix : {"", ".lock", "-wal", "-shm"}) fs::remove(path.string() + suffix);
  write_file(path.parent_path() / "blobs" / "ab" / "blob", "bytes");
  EXPECT_NE(open_journal(path)->notice().find("is missing"), std::string::npos);
}

TEST_F(DamageTest, AFileThatIsRemovedUnderTheDaemonIsMissed) {
  const auto journal = open_journal(path);
  EXPECT_TRUE(journal->still_there());
  fs::rename(path, path.string() + ".moved");
  EXPECT_FALSE(journal->still_there());
  write_file(path, "somebody else's");
  EXPECT_FALSE(journal->still_there());
}

}  // namespace
}  // namespace moddev::daemon
