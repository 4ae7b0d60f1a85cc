#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/supervisor/listening.h"
#include "tools/supervisor/notify_message.h"
#include "tools/supervisor/rollout_rules.h"

namespace moddev::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Manifest manifest(Epoch epoch, const std::vector<std::pair<std::string, std::string>>& contents,
                  const std::map<std::string, std::vector<std::string>>& needs = {}) {
  Manifest result;
  result.epoch = epoch;
  for (const auto& [name, content] : contents) {
    ModuleEntry& entry = result.modules[name];
    entry.name = name;
    entry.digest = digest_of(content);
    if (const auto found = needs.find(name); found != needs.end()) entry.depends_on = found->second;
  }
  return result;
}

TEST(Patterns, MatchWholeNames) {
  EXPECT_TRUE(matches("scorer", "scorer"));
  EXPECT_FALSE(matches("scorer", "scorer2"));
  EXPECT_FALSE(matches("scorer", "score"));
  EXPECT_TRUE(matches("score*", "scorer"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("*er", "scorer"));
  EXPECT_TRUE(matches("s*o*r", "scorer"));
  EXPECT_TRUE(matches("a*b*c", "aXbXbYc"));
  EXPECT_FALSE(matches("a*b*c", "aXcXb"));
  EXPECT_TRUE(matches("s?orer", "scorer"));
  EXPECT_FALSE(matches("?", ""));
  EXPECT_FALSE(matches("", "a"));
}

TEST(AffectedModules, AreThoseThatChangedCameOrWent) {
  const Manifest before = manifest(1, {{"a", "1"}, {"b", "1"}, {"c", "1"}});
  EXPECT_THAT(affected_modules(before, manifest(2, {{"a", "1"}, {"b", "2"}, {"d", "1"}})),
              ElementsAre("b", "c", "d"));
}

TEST(AffectedModules, SameBytesAreNoChangeWhateverTheirVersion) {
  Manifest before = manifest(1, {{"a", "1"}});
  Manifest after = manifest(9, {{"a", "1"}});
  before.modules["a"].version = 1;
  after.modules["a"].version = 3;
  EXPECT_THAT(affected_modules(before, after), IsEmpty());
}

TEST(AffectedModules, IncludeWhoNeedsAChangedOneAlsoInCycles) {
  const std::map<std::string, std::vector<std::string>> needs = {
      {"server", {"middle"}}, {"middle", {"base"}}, {"x", {"y"}}, {"y", {"x", "base"}}};
  const Manifest before =
      manifest(1, {{"base", "1"}, {"middle", "1"}, {"server", "1"}, {"x", "1"}, {"y", "1"}}, needs);
  const Manifest after =
      manifest(2, {{"base", "2"}, {"middle", "1"}, {"server", "1"}, {"x", "1"}, {"y", "1"}}, needs);
  EXPECT_THAT(affected_modules(before, after), ElementsAre("base", "middle", "server", "x", "y"));
}

TEST(Treatment, WithoutRulesFollowsTheWorker) {
  EXPECT_EQ(treatment_of({}, {}, false), Treatment::kNothing);
  EXPECT_EQ(treatment_of({"a"}, {}, false), Treatment::kCycle);
  EXPECT_EQ(treatment_of({"a"}, {}, true), Treatment::kReload);
}

TEST(Treatment, RulesDecidePerModuleAndCycleWins) {
  const ModuleRules rules{{"core*"}, {"page*", "core-page"}};
  EXPECT_EQ(treatment_of({"core"}, rules, true), Treatment::kCycle);
  EXPECT_EQ(treatment_of({"page1"}, rules, false), Treatment::kReload);
  EXPECT_EQ(treatment_of({"page1", "other"}, rules, false), Treatment::kCycle);
  EXPECT_EQ(treatment_of({"page1", "other"}, rules, true), Treatment::kReload);
  EXPECT_EQ(treatment_of({"core-page"}, rules, true), Treatment::kCycle);
}

TEST(NotifyMessage, IsReadLineByLine) {
  EXPECT_TRUE(decode_notify("READY=1").ready);
  EXPECT_TRUE(decode_notify("STATUS=Serving\nREADY=1\n").ready);
  EXPECT_FALSE(decode_notify("READY=10").ready);
  EXPECT_FALSE(decode_notify("XREADY=1").ready);
  EXPECT_FALSE(decode_notify("").ready);
  EXPECT_FALSE(decode_notify("\n\n").stopping);
  const NotifyMessage both = decode_notify("STOPPING=1\nREADY=1");
  EXPECT_TRUE(both.ready);
  EXPECT_TRUE(both.stopping);
}

TEST(ListenAddress, TakesTheFormsThatPeopleWrite) {
  EXPECT_EQ(parse_listen_address("8080")->to_string(), "*:8080");
  EXPECT_EQ(parse_listen_address("*:8080")->to_string(), "*:8080");
  EXPECT_EQ(parse_listen_address("127.0.0.1:80")->to_string(), "127.0.0.1:80");
  EXPECT_EQ(parse_listen_address("localhost:80")->to_string(), "127.0.0.1:80");
  EXPECT_EQ(parse_listen_address("[::1]:80")->to_string(), "[::1]:80");
  for (const char* wrong : {"", ":", "x", "0", "65536", "80x", "name:80", "1.2.3:80", "-1"}) {
    EXPECT_FALSE(parse_listen_address(wrong).ok()) << wrong;
  }
}

constexpr std::string_view kTable =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 100 "
    "0 0 10 0\n"
    "   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 222 1 0 100 "
    "0 0 10 0\n"
    "   2: 0200007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 333 1 0 100 "
    "0 0 10 0\n"
    "   3: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 444 1 0 100 "
    "0 0 10 0\n"
    "   4: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 555 1 0 100 "
    "0 0 10 0\n"
    "torn lin";

TEST(ListeningInodes, AreThoseThatServeTheAddress) {
  EXPECT_THAT(listening_inodes(kTable, {"127.0.0.1", 8080}), ElementsAre(111, 222));
  EXPECT_THAT(listening_inodes(kTable, {"", 8080}), ElementsAre(111, 222, 333));
  EXPECT_THAT(listening_inodes(kTable, {"", 8082}), IsEmpty());
  EXPECT_THAT(listening_inodes("", {"", 8080}), IsEmpty());
}

TEST(ListeningInodes, KnowsIpv6) {
  const std::string row =
      "  sl  heading\n   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A "
      "00000000:00000000 00:00000000 00000000  1000        0 77 1 0 100 0 0 10 0\n";
  EXPECT_THAT(listening_inodes(row, {"::1", 8080}), ElementsAre(77));
  EXPECT_THAT(listening_inodes(row, {"127.0.0.1", 8080}), IsEmpty());
}

TEST(SocketInode, ReadsTheKernelsLinks) {
  EXPECT_EQ(socket_inode("socket:[123]"), 123U);
  EXPECT_EQ(socket_inode("pipe:[123]"), 0U);
  EXPECT_EQ(socket_inode("socket:[12x]"), 0U);
  EXPECT_EQ(socket_inode("/dev/null"), 0U);
}

}  // namespace
}  // namespace moddev::supervisor
