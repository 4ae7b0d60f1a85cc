// Looking back and going back with the real program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

/// scorer 1, 2 and 3, then helper 1: epochs 1 to 4, all of them in one executor.
class History : public ::testing::Test {
 protected:
  History() {
    for (int i = 1; i <= 3; ++i) {
      yard_.write_module("scorer", i);
      live(static_cast<std::uint64_t>(i));
    }
    yard_.write_module("helper", 1);
    live(4);
  }
  void live(std::uint64_t epoch) {
    executor_.event("applied", [&](const Json& json) { return json["epoch"] == epoch; });
    ASSERT_EQ(yard_.run({"wait", "--epoch", std::to_string(epoch)}).exit_code, 0);
  }

  Yard yard_;
  Process daemon_ = yard_.watch();
  Process executor_ =
      yard_.start({"executor", "--name", "w1", "--call", "scorer:value", "--every", "3600000", "--json"});
};

TEST_F(History, ShowsEpochsNewestFirst) {
  const auto entries = lines_of(yard_.run({"history", "--json"}).out);
  ASSERT_EQ(entries.size(), 4U);
  EXPECT_EQ(entries[0]["epoch"], 4);
  EXPECT_EQ(entries[0]["changes"][0]["name"], "helper");
  EXPECT_EQ(entries[3]["changes"][0]["change"], "added");
  EXPECT_EQ(entries[3]["state"], "committed");
  EXPECT_EQ(lines_of(yard_.run({"history", "--json", "--limit", "2"}).out).size(), 2U);
  EXPECT_EQ(lines_of(yard_.run({"history", "scor", "--json"}).out).size(), 3U)
      << "a part of a name is enough";
  const Ran human = yard_.run({"history", "--limit", "3"});
  EXPECT_THAT(human.out,
              AllOf(StartsWith("epoch 4 "), HasSubstr("scorer 2 ("), HasSubstr("There are older ones")));
  const Ran unknown = yard_.run({"history", "nothing"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("nothing"));
}

TEST_F(History, StatsCountLoads) {
  // What was applied is written to the history behind the switch.
  std::vector<Json> stats;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  do {
    stats = lines_of(yard_.run({"stats", "--json"}).out);
  } while ((stats.size() != 2 || stats[1]["loads"] != 3 || stats[0]["loads"] != 1) &&
           std::chrono::steady_clock::now() < deadline);
  ASSERT_EQ(stats.size(), 2U);
  EXPECT_EQ(stats[0]["module"], "helper");
  EXPECT_EQ(stats[0]["loads"], 1);
  EXPECT_EQ(stats[1]["module"], "scorer");
  EXPECT_EQ(stats[1]["loads"], 3);
  EXPECT_EQ(stats[1]["executors"], 1);
  EXPECT_EQ(stats[1]["version"], 3);
  EXPECT_EQ(lines_of(yard_.run({"stats", "scor", "--json"}).out).size(), 1U);
  EXPECT_THAT(yard_.run({"stats"}).out, StartsWith("module"));
}

TEST_F(History, DiffOfAnyTwoEpochs) {
  const Json diff = Json::parse(yard_.run({"diff", "1", "4", "--json"}).out);
  EXPECT_EQ(diff["from"], 1);
  EXPECT_EQ(diff["to"], 4);
  ASSERT_EQ(diff["modules"].size(), 2U);
  EXPECT_EQ(diff["modules"][1]["from"]["version"], 1);
  EXPECT_EQ(diff["modules"][1]["to"]["version"], 3);
  EXPECT_THAT(yard_.run({"diff", "3"}).out, StartsWith("added  helper  1"));
  EXPECT_THAT(yard_.run({"diff", "4"}).out, HasSubstr("are the same"));
  const Ran missing = yard_.run({"diff", "1", "99"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("99"));
  EXPECT_EQ(yard_.run({"diff"}).exit_code, 2);
  EXPECT_THAT(yard_.run({"diff", "4", "0"}).out, StartsWith("removed  helper")) << "0 is the empty beginning";
  EXPECT_THAT(yard_.run({"diff", "0", "4"}).out, StartsWith("added  helper"));
  EXPECT_THAT(yard_.run({"diff", "0", "0"}).out, HasSubstr("are the same"));
  const Ran negative = yard_.run({"diff", "-1"});
  EXPECT_EQ(negative.exit_code, 2);
  EXPECT_THAT(negative.err, HasSubstr("'-1' is no whole number"));
}

TEST_F(History, RollbackIsANewEpochThatTheNextRebuildEnds) {
  const Ran back = yard_.run({"rollback", "scorer", "--to", "1"});
  EXPECT_EQ(back.exit_code, 0) << back.err;
  EXPECT_THAT(back.out, AllOf(StartsWith("Epoch 5 is live: "), HasSubstr("until libscorer.so changes")));
  EXPECT_EQ(executor_.event("called", [](const Json& json) { return json["epoch"] == 5; })["result"], 1);
  EXPECT_THAT(yard_.run({"status"}).out,
              HasSubstr("the bytes of version 1 again, until libscorer.so changes"));
  const Ran refreshed = yard_.run({"refresh"});
  EXPECT_EQ(refreshed.exit_code, 0) << "it is as the user wished";
  EXPECT_THAT(refreshed.out,
              AllOf(StartsWith("Everything else in "),
                    HasSubstr("scorer has the bytes of version 1 again until libscorer.so changes")));
  EXPECT_EQ(Json::parse(yard_.run({"status", "--json"}).out)["committed_epoch"], 5) << "a held module stays";
  yard_.write_module("scorer", 9);
  EXPECT_EQ(executor_.event("called", [](const Json& json) { return json["epoch"] == 6; })["result"], 9);
  const Ran same = yard_.run({"rollback", "scorer", "--to", "99"});
  EXPECT_EQ(same.exit_code, 1);
  EXPECT_THAT(same.err, HasSubstr("99"));
}

TEST_F(History, RollbackOfEverything) {
  const Json back = Json::parse(yard_.run({"rollback", "--to", "2", "--json"}).out);
  EXPECT_EQ(back["epoch"], 5);
  EXPECT_EQ(back["changes"].size(), 2U);
  EXPECT_EQ(executor_.event("called", [](const Json& json) { return json["epoch"] == 5; })["result"], 2);
  EXPECT_EQ(Json::parse(yard_.run({"status", "--json"}).out)["modules"].size(), 1U) << "helper came later";
}

}  // namespace
}  // namespace moddev::e2e
