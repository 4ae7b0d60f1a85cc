#include "tools/moddev/history_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace moddev::tools {
namespace {

using ::testing::HasSubstr;

const Uuid kId = Uuid::parse("00112233-4455-4677-8899-aabbccddeeff").value();
constexpr std::int64_t kAt = 1'764'073'867'123'456'789;  // 2025-11-25T12:31:07.123Z
const Palette kPlain{false};

ModuleEntry entry(const std::string& name, Version version, const std::string& content) {
  ModuleEntry result;
  result.name = name;
  result.kind = ModuleKind::kNative;
  result.version = version;
  result.digest = digest_of(content);
  result.size = 16'400;
  return result;
}

class HistoryText : public ::testing::Test {
 protected:
  HistoryText() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
  ~HistoryText() override {
    ::unsetenv("TZ");
    ::tzset();
  }
  static HistoryEntry committed() {
    HistoryEntry result;
    result.epoch = 7;
    result.base = 6;
    result.state = EpochState::kCommitted;
    result.announced_at_ns = kAt;
    result.decided_at_ns = kAt + 4'000'000;
    result.cause = "change";
    result.changes = {{ChangeKind::kChanged, entry("scorer", 7, "a")},
                      {ChangeKind::kRemoved, entry("old", 2, "b")}};
    result.changes_total = 2;
    result.applied = {{{kId, "w1", "vm", 40}, kAt, 900}, {{kId, "w2", "vm", 41}, kAt, 4'100}};
    result.applied_total = 2;
    return result;
  }
};

TEST_F(HistoryText, WhatNobodyRefusedWasGivenUp) {
  HistoryEntry undecided = committed();
  undecided.state = EpochState::kAborted;
  undecided.applied = {};
  undecided.applied_total = 0;
  EXPECT_THAT(history_text({undecided}, kPlain), HasSubstr("given up"));
}

TEST_F(HistoryText, SaysWhatWhenWhoAndHowLong) {
  HistoryEntry refused = committed();
  refused.epoch = 8;
  refused.state = EpochState::kAborted;
  refused.applied = {};
  refused.applied_total = 0;
  refused.failures = {{"w2", "scorer", "undefined symbol: _ZN3foo3barEv"}};
  EXPECT_EQ(history_text({refused, committed()}, kPlain),
            "epoch 8  25 Nov 2025 12:31:07  refused  scorer 7 (16.4 KB), old removed\n"
            "    w2: scorer  undefined symbol: foo::bar()\n"
            "epoch 7  25 Nov 2025 12:31:07  live     scorer 7 (16.4 KB), old removed  w1, w2 in 4.1 ms\n");
}

TEST_F(HistoryText, CutsWhatIsLong) {
  HistoryEntry big = committed();
  big.changes.assign(64, {ChangeKind::kAdded, entry("m", 1, "c")});
  big.changes_total = 900;
  for (int i = 0; i < 10; ++i) big.applied.push_back({{kId, "x" + std::to_string(i), "vm", 1}, kAt, 1});
  big.applied_total = 5'000;
  for (int i = 0; i < 16; ++i) big.failures.push_back({"w", "m", "no " + std::to_string(i)});
  const std::string text = history_text({big}, kPlain);
  EXPECT_THAT(text, HasSubstr("m 1 (16.4 KB) and 896 more"));
  EXPECT_THAT(text, HasSubstr("w1, w2, x0 and 4997 more in 4.1 ms"));
  EXPECT_THAT(text,
              HasSubstr("    w: m  no 3\n    and 12 more reasons\n    these are the first 16 refusals\n"));
}

TEST_F(HistoryText, ARollbackSaysThatItIsOne) {
  HistoryEntry back = committed();
  back.cause = "rollback of scorer to version 3";
  EXPECT_THAT(history_text({back}, kPlain), HasSubstr("4.1 ms  rollback of scorer to version 3\n"));
}

TEST_F(HistoryText, AsJson) {
  HistoryEntry one = committed();
  one.changes.pop_back();
  one.applied.pop_back();
  one.failures = {{"w2", "scorer", "no"}};
  EXPECT_EQ(
      json_of(one),
      R"({"epoch":7,"base":6,"state":"committed","announced_at":"2025-11-25T12:31:07.123Z",)"
      R"("decided_at":"2025-11-25T12:31:07.127Z","cause":"change","changes":[{"name":"scorer","kind":"native",)"
      R"("version":7,"digest":")" +
          digest_of("a").to_string() +
          R"(","size":16400,"change":"changed"}],"changes_total":2,)"
          R"("failures":[{"executor":"w2","module":"scorer","error":"no"}],)"
          R"("applied":[{"id":"00112233-4455-4677-8899-aabbccddeeff","name":"w1","host":"vm","pid":40,)"
          R"("at":"2025-11-25T12:31:07.123Z","elapsed_us":900}],"applied_total":2})");
  one.decided_at_ns = 0;
  EXPECT_THAT(json_of(one), HasSubstr(R"("decided_at":null)"));
}

TEST(DiffText, NamesEachModuleThatDiffers) {
  Manifest from;
  from.epoch = 3;
  from.modules = {
      {"base", entry("base", 1, "a")}, {"old", entry("old", 2, "b")}, {"same", entry("same", 1, "s")}};
  Manifest to;
  to.epoch = 5;
  to.modules = {
      {"base", entry("base", 4, "c")}, {"new", entry("new", 1, "d")}, {"same", entry("same", 1, "s")}};
  EXPECT_EQ(diff_text(from, to, kPlain),
            "changed  base  1 -> 4  16.4 KB -> 16.4 KB\n"
            "added    new   1       16.4 KB\n"
            "removed  old   2       16.4 KB\n");
  EXPECT_EQ(diff_text(from, from, kPlain), "");
  Manifest again = from;
  again.modules["base"].version = 9;
  EXPECT_THAT(diff_text(from, again, kPlain), HasSubstr("the same bytes")) << "a rollback does that";
}

TEST(DiffText, AsJson) {
  Manifest from;
  from.epoch = 3;
  Manifest to;
  to.epoch = 5;
  to.modules = {{"new", entry("new", 1, "d")}};
  EXPECT_EQ(json_of_diff(from, to),
            R"({"from":3,"to":5,"modules":[{"name":"new","kind":"native","change":"added","from":null,)"
            R"("to":{"version":1,"digest":")" +
                digest_of("d").to_string() + R"(","size":16400}}]})");
}

TEST(RollbackText, SaysWhatTheNextRebuildDoes) {
  RollbackReply reply;
  reply.epoch = 9;
  reply.cause = "rollback of scorer to version 6";
  reply.changes = {{ChangeKind::kChanged, entry("scorer", 8, "a")}};
  reply.holds = {{"scorer", 6, "lib/libscorer.so"}, {"gone", 0, "libgone.so"}};
  EXPECT_EQ(rollback_text(reply),
            "Epoch 9 is live: rollback of scorer to version 6.\n"
            "  scorer 8 (16.4 KB)\n"
            "scorer has the bytes of version 6 again until lib/libscorer.so changes: the next rebuild goes "
            "live again.\n"
            "gone is kept out until libgone.so changes: the next rebuild goes live again.\n");
  EXPECT_EQ(
      json_of(reply),
      R"({"epoch":9,"cause":"rollback of scorer to version 6","changes":[{"name":"scorer","kind":"native",)"
      R"("version":8,"digest":")" +
          digest_of("a").to_string() +
          R"(","size":16400,"change":"changed"}],"holds":[)"
          R"({"module":"scorer","version":6,"path":"lib/libscorer.so"},)"
          R"({"module":"gone","version":0,"path":"libgone.so"}]})");
}

}  // namespace
}  // namespace moddev::tools
