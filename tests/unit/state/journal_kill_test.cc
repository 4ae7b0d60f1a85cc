// A daemon that is killed at any instant leaves the old epoch or the new one, and never a number that could
// be given twice. The child tells through a pipe what it was promised; what was promised must be there
// afterwards.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/support/state/scratch.h"
#include "tests/support/world/random.h"

namespace moddev::daemon {
namespace {

using testing::at_second;
using testing::content;
using testing::next;
using testing::open_journal;

struct Promise {
  Epoch epoch = 0;
  EpochState state = EpochState::kAnnounced;
  Version version = 0;
  Digest digest;
};

/// Records epochs until it is killed. Content follows from the seed and the epoch, so that it differs each
/// time.
[[noreturn]] void record_for_ever(const std::filesystem::path& path, std::uint64_t seed, int out) {
  const auto tell = [&](const Promise& promise) {
    if (::write(out, &promise, sizeof promise) != sizeof promise) ::_exit(3);
  };
  auto journal = open_journal(path);
  sim::Random random(seed);
  for (int n = 0;; ++n) {
    const EpochRecord record =
        next(*journal, {{"m", content(std::to_string(seed) + "/" + std::to_string(n))}});
    const ModuleEntry& m = *record.manifest.find("m");
    if (!journal->record_epoch(record)) ::_exit(4);
    tell({record.epoch, EpochState::kAnnounced, m.version, m.digest});
    if (random.chance(0.3)) {
      if (!journal->record_abort(record.epoch, {{"w", "m", "no"}}, at_second(n))) ::_exit(5);
      tell({record.epoch, EpochState::kAborted, m.version, m.digest});
    } else {
      if (!journal->record_commit(record.epoch, at_second(n))) ::_exit(6);
      tell({record.epoch, EpochState::kCommitted, m.version, m.digest});
    }
    if (random.chance(0.02) && !journal->tidy()) ::_exit(7);
    if (random.chance(0.02) && journal->committed().epoch > 5 &&
        !journal->forget(journal->committed().epoch - 5, {}))
      ::_exit(8);
  }
}

TEST(JournalKill, AtAnyInstantLeavesTheOldOrTheNewEpoch) {
  testing::Scratch scratch;
  const auto path = scratch / "journal";
  sim::Random random(4);
  std::map<Version, Digest> meaning;
  std::map<Epoch, Promise> promised;
  Uuid repo;
  Epoch killed_midway = 0;
  for (std::uint64_t round = 0; round < 60; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(pipe_ends[0]);
      record_for_ever(path, round, pipe_ends[1]);
    }
    ::close(pipe_ends[1]);
    // The instant of the kill is somewhere behind some promise; chance and the scheduler choose.
    const std::uint64_t after = random.below(40);
    Promise promise;
    for (std::uint64_t n = 0; n <= after; ++n) {
      ASSERT_EQ(::read(pipe_ends[0], &promise, sizeof promise), static_cast<ssize_t>(sizeof promise));
      promised[promise.epoch] = promise;
    }
    std::this_thread::sleep_for(
        std::chrono::microseconds(random.below(300)));  // where in a record, not whether
    ::kill(child, SIGKILL);
    while (::read(pipe_ends[0], &promise, sizeof promise) == static_cast<ssize_t>(sizeof promise))
      promised[promise.epoch] = promise;
    ::close(pipe_ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);

    const auto journal = open_journal(path);
    ASSERT_EQ(journal->notice(), "");
    if (repo.is_nil()) repo = journal->id().repo;
    ASSERT_EQ(journal->id().repo, repo);
    const Promise last = promised.rbegin()->second;
    ASSERT_GE(journal->head(), last.epoch) << "an epoch was lost that somebody had heard of";
    ASSERT_LE(journal->head(), last.epoch + 1);
    for (Epoch epoch = std::max<Epoch>(journal->forgotten() + 1, 1); epoch <= journal->head(); ++epoch) {
      const auto record = journal->epoch(epoch);
      ASSERT_TRUE(record.ok()) << record.error().message;
      const ModuleEntry& m = *record->manifest.find("m");
      const auto [known, fresh] = meaning.emplace(m.version, m.digest);
      ASSERT_EQ(known->second, m.digest) << "version " << m.version << " stands for two contents";
      const auto told = promised.find(epoch);
      if (told == promised.end()) {
        ++killed_midway;
        continue;  // recorded, and killed before anyone heard
      }
      ASSERT_EQ(m.version, told->second.version);
      ASSERT_EQ(m.digest, told->second.digest);
      if (told->second.state != EpochState::kAnnounced) {
        ASSERT_EQ(record->state, told->second.state) << "epoch " << epoch;
      } else {
        ASSERT_NE(record->state, EpochState::kAnnounced) << "undecided for ever";
        if (record->state == EpochState::kCommitted) ++killed_midway;
      }
    }
    ASSERT_EQ(journal->last_versions().at("m").version, meaning.rbegin()->first);
  }
  RecordProperty("killed_between_record_and_word", static_cast<int>(killed_midway));
}

}  // namespace
}  // namespace moddev::daemon
