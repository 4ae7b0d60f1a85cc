#include "tools/moddev/status_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moddev::tools {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const WallTime kNow{std::chrono::seconds(1'000'000)};

ExecutorStatus executor(const std::string& name, ExecutorState state, Epoch epoch) {
  ExecutorStatus status;
  status.identity = {{}, name, "vm", 40};
  status.state = state;
  status.epoch = epoch;
  return status;
}

StatusReply sample() {
  StatusReply status;
  status.endpoint = "ipc:///a";
  status.pid = 42;
  status.directory = "/b";
  status.backend = "inotify";
  status.epoch = 7;
  status.committed_epoch = 7;
  ModuleEntry base;
  base.name = "base";
  base.kind = ModuleKind::kNative;
  base.version = 12;
  base.size = 16'400;
  base.changed_at_ns = (kNow - std::chrono::seconds(42)).time_since_epoch().count();
  ModuleEntry mod = base;
  mod.name = "pkg.mod";
  mod.kind = ModuleKind::kPython;
  mod.version = 3;
  mod.size = 812;
  mod.depends_on = {"base"};
  status.modules = {base, mod};
  status.executors = {executor("worker-1", ExecutorState::kLive, 7),
                      executor("worker-2", ExecutorState::kLive, 7)};
  return status;
}

/// One that has died lately.
ExecutorStatus gone(const std::string& name, std::int64_t pid, const std::string& detail) {
  ExecutorStatus status = executor(name, ExecutorState::kGone, 7);
  status.identity.pid = pid;
  status.detail = detail;
  return status;
}

std::string text_of(const StatusReply& status, bool pending = false,
                    const std::optional<HistoryEntry>& past = {}) {
  return status_text(status, pending, past, Palette(false), kNow);
}

TEST(StatusText, IsAlignedAndShort) {
  EXPECT_EQ(text_of(sample()),
            "epoch 7 live in all 2 executors\n"
            "/b  inotify  ipc:///a  pid 42\n"
            "\n"
            "modules\n"
            "  base     12  native  16.4 KB  42 s ago\n"
            "  pkg.mod  3   python  812 B    42 s ago  needs base\n"
            "\n"
            "executors\n"
            "  worker-1  live  epoch 7  pid 40 on vm\n"
            "  worker-2  live  epoch 7  pid 40 on vm\n");
}

TEST(StatusText, TellsWhatLeftTheDaemon) {
  StatusReply status = sample();
  status.transfers.announced_bytes = 70'000;
  status.transfers.plain_bytes = 1'930'000;
  EXPECT_THAT(text_of(status), HasSubstr("pid 42\nsent 2.0 MB of modules since it started\n\nmodules\n"));
  status.transfers.zstd_bytes = 4'096;
  status.transfers.patch_bytes = 379;
  status.transfers.saved_bytes = 847'621;
  EXPECT_THAT(text_of(status),
              HasSubstr("sent 2.0 MB of modules since it started, 4.5 KB of it as patches or "
                        "compressed, which saved 847.6 KB\n"));
}

TEST(StatusText, ShowsSkewAtAGlance) {
  StatusReply status = sample();
  status.executors.push_back(executor("slow", ExecutorState::kPreparing, 5));
  ExecutorStatus fenced = executor("cut-off", ExecutorState::kFenced, 6);
  fenced.detail = "silent for 3 s";
  status.executors.push_back(fenced);
  ExecutorStatus broken = executor("broken", ExecutorState::kFailed, 6);
  broken.detail = "scorer: undefined symbol";
  broken.pins = {{4, 200'000, 1}, {6, 100, 2}};
  broken.retired_bytes = 2'900'000;
  status.executors.push_back(broken);
  const std::string text = text_of(status);
  EXPECT_THAT(text, StartsWith("epoch 7 live in 2 of 4 executors, 1 fenced\n"))
      << "who is fenced is not there";
  EXPECT_THAT(text, HasSubstr("slow      preparing  epoch 5  pid 40 on vm  behind by 2\n"));
  EXPECT_THAT(text, HasSubstr("cut-off   fenced     epoch 6  pid 40 on vm  silent for 3 s\n"));
  EXPECT_THAT(
      text, HasSubstr("scorer: undefined symbol; behind by 1; holds epoch 4 for 3 min 20 s; 2.9 MB cannot be "
                      "unloaded\n"));
}

TEST(StatusText, ExecutorsAreInTheOrderOfPeople) {
  StatusReply status = sample();
  status.executors.clear();
  for (const char* name : {"e1", "e10", "e2"})
    status.executors.push_back(executor(name, ExecutorState::kLive, 7));
  status.executors.push_back(gone("a", 41, "left"));
  EXPECT_THAT(text_of(status), EndsWith("executors\n"
                                        "  e1   live  epoch 7  pid 40 on vm\n"
                                        "  e2   live  epoch 7  pid 40 on vm\n"
                                        "  e10  live  epoch 7  pid 40 on vm\n"
                                        "  a    gone  epoch 7  pid 41 on vm  left\n"));
}

TEST(StatusText, WhoIsStaleIsToldSoOnce) {
  StatusReply status = sample();
  status.executors[1] = executor("worker-2", ExecutorState::kStale, 5);
  status.executors[1].detail = "runs epoch 5, the newest is 7";
  EXPECT_THAT(text_of(status),
              HasSubstr("  worker-2  stale  epoch 5  pid 40 on vm  runs epoch 5, the newest is 7\n"));
}

TEST(StatusText, TellsAnEpochUnderWayFromARefusedOne) {
  StatusReply status = sample();
  status.epoch = 8;
  EXPECT_THAT(text_of(status, true),
              StartsWith("epoch 7 live in all 2 executors, epoch 8 is being prepared\n"));
  status.refused = 8;
  EXPECT_THAT(text_of(status, false), StartsWith("epoch 7 live in all 2 executors, epoch 8 was refused\n"));
}

// The live bytes were put back, and the refused epoch was told of as long as nothing else was published.
TEST(StatusText, WhatWasRefusedAndUndoneIsNoNews) {
  StatusReply status = sample();
  status.epoch = 8;
  HistoryEntry past;
  past.epoch = 8;
  past.state = EpochState::kAborted;
  past.failures = {{"worker-2", "base", "undefined symbol: _Z1fi"}};
  EXPECT_THAT(text_of(status, false, past), StartsWith("epoch 7 live in all 2 executors\n/b"));
  EXPECT_THAT(text_of(status), StartsWith("epoch 7 live in all 2 executors\n/b"));
  status.committed_epoch = 0;
  status.epoch = 1;
  EXPECT_THAT(text_of(status), StartsWith("nothing published yet, 2 executors\n/b"));
}

// Who prepared the next epoch was not counted, although it ran the live one.
TEST(StatusText, WhoPreparesTheNextEpochRunsTheLiveOne) {
  StatusReply status = sample();
  status.epoch = 8;
  status.executors[0].state = ExecutorState::kPreparing;
  EXPECT_THAT(text_of(status, true), StartsWith("epoch 7 live in all 2 executors, 1 prepares epoch 8\n"));
  status.executors[1].state = ExecutorState::kPreparing;
  EXPECT_THAT(text_of(status, true), StartsWith("epoch 7 live in all 2 executors, 2 prepare epoch 8\n"));
  status.executors[1].epoch = 6;
  EXPECT_THAT(text_of(status, true), StartsWith("epoch 7 live in 1 of 2 executors, 1 prepares epoch 8\n"))
      << "it is behind, and has the live one to prepare first";
}

TEST(StatusText, CanariesAreThoseThatTryTheNextEpoch) {
  StatusReply status = sample();
  status.epoch = 8;
  status.executors[0].epoch = 8;
  EXPECT_THAT(text_of(status, true), StartsWith("epoch 7 live in 1 of 2 executors, 1 tries epoch 8\n"));
  status.executors[1].epoch = 8;
  EXPECT_THAT(text_of(status, true), StartsWith("epoch 7 live in 0 of 2 executors, 2 try epoch 8\n"));
}

TEST(StatusText, WhoseStateIsNotKnownYetCountsByWhatItRuns) {
  StatusReply status = sample();
  status.executors[0].state = ExecutorState::kJoining;
  EXPECT_THAT(text_of(status), StartsWith("epoch 7 live in all 2 executors\n"));
  status.executors[0].state = ExecutorState::kFailed;
  EXPECT_THAT(text_of(status), StartsWith("epoch 7 live in 1 of 2 executors\n"));
}

TEST(StatusText, ARefusalIsShownWithItsReasons) {
  StatusReply status = sample();
  status.epoch = 8;
  EXPECT_EQ(not_live(status), 8U);
  status.refused = 8;
  EXPECT_EQ(not_live(status), 8U);
  HistoryEntry past;
  past.epoch = 8;
  past.state = EpochState::kAborted;
  past.failures = {{"worker-2", "base", "undefined symbol: _Z1fi"},
                   {"worker-1", "base", "undefined symbol: _Z1fi"}};
  EXPECT_THAT(text_of(status, false, past),
              StartsWith("epoch 7 live in all 2 executors, epoch 8 was refused\n"
                         "refused: worker-1 and worker-2: base: undefined symbol: f(int).\n/b"));
  past.failures.clear();
  EXPECT_THAT(text_of(status, false, past), HasSubstr("\nrefused: nobody was left to use it.\n"));
}

// Announced after one question and not yet committed at the next, it looked refused.
TEST(StatusText, WhatIsDecidedWhileOneAsksIsNotRefused) {
  StatusReply status = sample();
  status.epoch = 8;
  HistoryEntry past;
  past.epoch = 8;
  for (const EpochState state : {EpochState::kAnnounced, EpochState::kCommitted}) {
    past.state = state;
    EXPECT_THAT(text_of(status, false, past),
                StartsWith("epoch 7 live in all 2 executors, epoch 8 is being prepared\n"));
  }
}

TEST(StatusText, ARefusalIsShownWhenSomethingElseWasCommittedSince) {
  StatusReply status = sample();
  EXPECT_EQ(not_live(status), 0U);
  status.refused = 6;
  EXPECT_EQ(not_live(status), 6U);
  EXPECT_THAT(text_of(status), StartsWith("epoch 7 live in all 2 executors, epoch 6 was refused\n"));
}

// In a crash loop each death was a line of its own.
TEST(StatusText, ThoseThatDiedUnderOneNameAreOneLine) {
  StatusReply status = sample();
  for (int pid = 41; pid < 45; ++pid)
    status.executors.push_back(gone("crashes", pid, "was not heard for " + std::to_string(pid) + " s"));
  status.executors.push_back(gone("other", 50, "was not heard for 3.0 s"));
  status.executors.push_back(gone("batch", 51, "left"));
  status.executors.push_back(gone("batch", 52, "left"));
  EXPECT_THAT(
      text_of(status),
      HasSubstr("executors\n"
                "  worker-1  live  epoch 7  pid 40 on vm\n"
                "  worker-2  live  epoch 7  pid 40 on vm\n"
                "  crashes   gone  epoch 7  pid 44 on vm  4 times in the last 2 min: was not heard for 44 s\n"
                "  other     gone  epoch 7  pid 50 on vm  was not heard for 3.0 s\n"
                "  batch     gone  epoch 7  pid 52 on vm  2 times in the last 2 min: left\n"));
}

TEST(StatusText, WhereNotAllHasRoomTheNewsComesFirst) {
  StatusReply status = sample();
  status.modules[0].changed_at_ns = 1;
  status.executors.push_back(executor("x-behind", ExecutorState::kStale, 6));
  status.executors.push_back(gone("y-gone", 41, "left"));
  const StatusParts parts = status_parts(status, false, {}, StatusOrder::kNewsFirst, Palette(false), kNow);
  EXPECT_THAT(parts.modules, StartsWith("\nmodules\n  pkg.mod  3 "));
  EXPECT_THAT(parts.executors, StartsWith("\nexecutors\n"
                                          "  x-behind  stale  epoch 6  pid 40 on vm  behind by 1\n"
                                          "  y-gone    gone   epoch 7  pid 41 on vm  left\n"
                                          "  worker-1  live "));
}

TEST(StatusText, WhoDiedAndIsBackIsOneLine) {
  StatusReply status = sample();
  status.executors.push_back(gone("worker-2", 38, "was not heard for 3.0 s"));
  EXPECT_THAT(text_of(status),
              HasSubstr("  worker-2  live  epoch 7  pid 40 on vm  gone once in the last 2 min: was "
                        "not heard for 3.0 s\n"));
  status.executors.push_back(gone("worker-2", 39, "its process 39 has ended without a goodbye"));
  EXPECT_THAT(text_of(status),
              HasSubstr("  worker-2  live  epoch 7  pid 40 on vm  gone 2 times in the last 2 min: "
                        "its process 39 has ended without a goodbye\n"));
}

TEST(StatusText, WhoseNameSeveralHaveIsNotTakenForOneOfThem) {
  StatusReply status = sample();
  status.executors.push_back(executor("worker-2", ExecutorState::kLive, 7));
  status.executors.push_back(gone("worker-2", 38, "was not heard for 3.0 s"));
  EXPECT_THAT(text_of(status),
              EndsWith("  worker-2  live  epoch 7  pid 40 on vm\n"
                       "  worker-2  live  epoch 7  pid 40 on vm\n"
                       "  worker-2  gone  epoch 7  pid 38 on vm  was not heard for 3.0 s\n"));
  status = sample();
  status.executors.push_back(gone("worker-2", 38, "was not heard for 3.0 s"));
  status.executors.back().identity.host = "elsewhere";
  EXPECT_THAT(text_of(status),
              EndsWith("  worker-2  gone  epoch 7  pid 38 on elsewhere  was not heard for 3.0 s\n"));
}

TEST(StatusText, OfADaemonThatHasJustBegun) {
  StatusReply status;
  status.directory = "/b";
  EXPECT_THAT(text_of(status), StartsWith("nothing published yet, no executors\n/b"));
  status.executors = {executor("w", ExecutorState::kJoining, 0)};
  EXPECT_THAT(text_of(status), StartsWith("nothing published yet, 1 executor\n/b"));
  EXPECT_THAT(text_of(status), HasSubstr("  w  joining  -  pid 40 on vm\n"));
  status.epoch = 1;
  status.executors[0].state = ExecutorState::kPreparing;
  EXPECT_THAT(text_of(status, true), StartsWith("nothing published yet, 1 executor, 1 prepares epoch 1\n"));
}

TEST(StatusText, NamesCannotMoveTheCursor) {
  StatusReply status = sample();
  status.executors = {executor("a\033[2Jb", ExecutorState::kLive, 7)};
  EXPECT_EQ(text_of(status).find('\033'), std::string::npos);
}

}  // namespace
}  // namespace moddev::tools
