// Scripts depend on these lines: whole, byte by byte.
#include "tools/moddev/json.h"

#include <gtest/gtest.h>

namespace moddev::tools {
namespace {

const Uuid kRepo = Uuid::parse("00112233-4455-4677-8899-aabbccddeeff").value();
const Uuid kRun = Uuid::parse("ffeeddcc-bbaa-4988-b766-554433221100").value();
const std::string kHex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";  // of "hello"

ModuleEntry scorer() {
  ModuleEntry entry;
  entry.name = "scorer";
  entry.kind = ModuleKind::kNative;
  entry.version = 7;
  entry.digest = digest_of("hello");
  entry.size = 5;
  entry.path = "lib/libscorer.so";
  entry.depends_on = {"base"};
  entry.changed_at_ns = 1'764'073'867'123'456'789;
  return entry;
}

TEST(WatchJson, Listening) {
  EXPECT_EQ(
      json_line(ListeningFacts{"ipc:///a", {kRepo, kRun}, 42, "/b", "inotify"}),
      R"({"event":"listening","endpoint":"ipc:///a","repo":"00112233-4455-4677-8899-aabbccddeeff",)"
      R"("incarnation":"ffeeddcc-bbaa-4988-b766-554433221100","pid":42,"directory":"/b","backend":"inotify"})");
}

TEST(WatchJson, Published) {
  ModuleEntry gone = scorer();
  gone.name = "pkg.mod";
  gone.kind = ModuleKind::kPython;
  const daemon::PublishedEvent event{9, {{ChangeKind::kRemoved, gone}, {ChangeKind::kChanged, scorer()}}, 3};
  EXPECT_EQ(json_line(daemon::DaemonEvent(event)),
            R"({"event":"published","epoch":9,"modules":[)"
            R"({"name":"pkg.mod","kind":"python","version":7,"digest":"sha256:)" +
                kHex + R"(","size":5,"change":"removed"},)" +
                R"({"name":"scorer","kind":"native","version":7,"digest":"sha256:)" + kHex +
                R"(","size":5,"change":"changed"}],"executors":3})");
}

TEST(WatchJson, Committed) {
  const daemon::CommittedEvent event{9, {}, 12, 1, Duration(4'123'456)};
  EXPECT_EQ(json_line(daemon::DaemonEvent(event)),
            R"({"event":"committed","epoch":9,"applied":12,"excluded":1,"elapsed_ms":4.123})");
}

TEST(WatchJson, Aborted) {
  const daemon::AbortedEvent event{9, {}, {{"w1", "scorer", "undefined symbol: \"x\"\n"}}};
  EXPECT_EQ(json_line(daemon::DaemonEvent(event)),
            R"({"event":"aborted","epoch":9,"failures":[{"executor":"w1","module":"scorer",)"
            R"("error":"undefined symbol: \"x\"\n"}]})");
}

TEST(WatchJson, RejectedAndWarning) {
  EXPECT_EQ(json_line(daemon::DaemonEvent(daemon::RejectedEvent{"a/b.so", "torn"})),
            R"({"event":"rejected","path":"a/b.so","reason":"torn"})");
  EXPECT_EQ(json_line(daemon::DaemonEvent(daemon::WarningEvent{"polling", "slow"})),
            R"({"event":"warning","code":"polling","message":"slow"})");
}

TEST(WatchJson, MembersHaveNoLineOfTheirOwn) {
  EXPECT_EQ(json_line(daemon::DaemonEvent(daemon::ExecutorEvent{})), "");
}

TEST(WatchJson, AnyPathIsValidJson) {
  EXPECT_EQ(json_line(daemon::DaemonEvent(daemon::RejectedEvent{"a\xff.so", "x"})),
            "{\"event\":\"rejected\",\"path\":\"a\xEF\xBF\xBD.so\",\"reason\":\"x\"}");
}

TEST(StatusJson, HasEverything) {
  StatusReply status;
  status.daemon = {kRepo, kRun};
  status.endpoint = "ipc:///a";
  status.pid = 42;
  status.directory = "/b";
  status.backend = "inotify";
  status.epoch = 9;
  status.committed_epoch = 8;
  status.modules = {scorer()};
  ExecutorStatus executor;
  executor.identity = {kRun, "w1", "host", 43};
  executor.state = ExecutorState::kLive;
  executor.epoch = 8;
  executor.pins = {{7, 1500, 2}};
  executor.detail = "is stuck";
  status.executors = {executor};
  status.holds = {{"scorer", 7, "lib/libscorer.so"}};
  status.transfers = {70'000, 1'048'576, 4'096, 379, 847'621};
  status.refused = 9;
  EXPECT_EQ(
      json_of(status),
      R"({"endpoint":"ipc:///a","repo":"00112233-4455-4677-8899-aabbccddeeff",)"
      R"("incarnation":"ffeeddcc-bbaa-4988-b766-554433221100","epoch":9,"committed_epoch":8,)"
      R"("directory":"/b","backend":"inotify",)"
      R"("modules":[{"name":"scorer","kind":"native","version":7,"digest":"sha256:)" +
          kHex +
          R"(","size":5,"changed_at":"2025-11-25T12:31:07.123Z","depends_on":["base"]}],)"
          R"("executors":[{"id":"ffeeddcc-bbaa-4988-b766-554433221100","name":"w1","host":"host","pid":43,)"
          R"("state":"live","epoch":8,"pins":[{"epoch":7,"age_ms":1500,"count":2}],"detail":"is stuck"}],)"
          R"("holds":[{"module":"scorer","version":7,"path":"lib/libscorer.so"}],)"
          R"("transfers":{"announced_bytes":70000,"plain_bytes":1048576,"zstd_bytes":4096,"patch_bytes":379,)"
          R"("saved_bytes":847621},"refused_epoch":9})");
}

TEST(StatusJson, EmptyListsAreLists) {
  const std::string text = json_of(StatusReply{});
  EXPECT_NE(text.find(R"("modules":[],"executors":[],"holds":[])"), std::string::npos) << text;
}

TEST(ExecutorJson, EachEvent) {
  ClientEvent event;
  event.kind = ClientEvent::Kind::kJoined;
  event.epoch = 3;
  EXPECT_EQ(json_line(event, "me"), R"({"event":"joined","id":"me","epoch":3})");
  event.kind = ClientEvent::Kind::kApplied;
  event.modules = {"base", "scorer"};
  event.elapsed_us = 412;
  EXPECT_EQ(json_line(event, "me"),
            R"({"event":"applied","epoch":3,"modules":["base","scorer"],"elapsed_us":412})");
  event.message = "The daemon's history is a new one.";
  EXPECT_EQ(
      json_line(event, "id"),
      R"({"event":"applied","epoch":3,"modules":["base","scorer"],"elapsed_us":412,"notice":"The daemon's history is a new one."})");
  event.message.clear();
  event.kind = ClientEvent::Kind::kFailed;
  event.module = "scorer";
  event.message = "no";
  EXPECT_EQ(json_line(event, "me"), R"({"event":"failed","epoch":3,"module":"scorer","error":"no"})");
  event.kind = ClientEvent::Kind::kStale;
  EXPECT_EQ(json_line(event, "me"), R"({"event":"stale","reason":"no"})");
  event.kind = ClientEvent::Kind::kAborted;
  EXPECT_EQ(json_line(event, "me"), "");
}

TEST(ExecutorJson, Called) {
  EXPECT_EQ(json_line(Call{"scorer", "score", 3, -20, TimePoint(Duration(123))}),
            R"({"event":"called","module":"scorer","symbol":"score","epoch":3,"result":-20,"at_ns":123})");
}

TEST(DoctorJson, OneFinding) {
  EXPECT_EQ(json_line(watcher::Finding{watcher::Finding::Level::kNote, "lease", "none", "move"}),
            R"({"level":"note","code":"lease","message":"none","advice":"move"})");
}

}  // namespace
}  // namespace moddev::tools
