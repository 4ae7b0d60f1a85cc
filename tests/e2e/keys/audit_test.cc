// `moddev audit` with the real program: who did what, while the daemon runs and after it has ended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

/// Asks again until an entry is as `wanted`: entries are written a little later.
bool eventually(Yard& yard, const std::function<bool(const Json&)>& wanted,
                std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"audit", "--json", "--last", "1000"});
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  do {
    for (const Json& line : lines_of(yard.run(more).out))
      if (wanted(line)) return true;
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

bool is(const Json& line, const std::string& act, const std::string& who, const std::string& what) {
  return line["act"] == act && line["who"] == who &&
         line["what"].get<std::string>().find(what) != std::string::npos;
}

TEST(Audit, TellsOfFriendsAndStrangersAlsoAfterTheDaemonHasEnded) {
  Yard there;
  Yard here;
  const auto key_of = [](Yard& yard) -> std::string {
    return Json::parse(yard.run({"keygen", "--json"}).out)["transport"]["public_key"];
  };
  const std::string daemon_key = key_of(there);
  const std::string friends = key_of(here);
  ASSERT_EQ(there.run({"trust", "add", "laptop", friends}).exit_code, 0);
  there.write_module("scorer", 42);
  Process daemon = there.start(
      {"watch", there.build(), "--json", "--bind", "tcp://0.0.0.0:*", "--bind", there.default_endpoint()});
  const std::string bound = daemon.event("listening")["endpoint"];
  const std::string endpoint = "tcp://127.0.0.1:" + bound.substr(bound.rfind(':') + 1);
  daemon.event("committed");
  ASSERT_EQ(here.run({"trust", "add", endpoint, daemon_key}).exit_code, 0);
  {
    Process executor =
        here.start({"executor", "--json", "--name", "far", "--call", "scorer:value", "--endpoint", endpoint});
    executor.event("called");
    EXPECT_EQ(here.run({"fetch", "scorer", "-o", "-", "--endpoint", endpoint}).exit_code, 0);
    EXPECT_EQ(here.run({"rollback", "scorer", "--endpoint", endpoint}).exit_code, 1);
  }
  ASSERT_EQ(here.run({"keygen", "--replace", "transport"}).exit_code, 0);
  const std::string stranger = key_of(here);
  EXPECT_EQ(here.run({"status", "--endpoint", endpoint}).exit_code, 1);

  const auto all = [&](const std::vector<std::string>& where) {
    EXPECT_TRUE(eventually(
        there, [](const Json& e) { return is(e, "connected", "laptop", ""); }, where));
    EXPECT_TRUE(eventually(
        there, [](const Json& e) { return is(e, "fetched", "laptop", "scorer 1"); }, where));
    EXPECT_TRUE(eventually(
        there, [](const Json& e) { return is(e, "applied", "laptop", "epoch 1") && e["executor"] == "far"; },
        where));
    EXPECT_TRUE(eventually(
        there, [](const Json& e) { return is(e, "refused", "laptop", "may not rollback"); }, where));
    EXPECT_TRUE(eventually(
        there, [&](const Json& e) { return is(e, "refused", "127.0.0.1", stranger); }, where));
  };
  all({});
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), 0);
  all({});
  all({there.build()});

  const Ran human = there.run({"audit", "--who", "127.0.0.1", "--since", "1h"});
  EXPECT_EQ(human.exit_code, 0) << human.err;
  EXPECT_THAT(human.out,
              AllOf(HasSubstr("refused"), HasSubstr(stranger), ::testing::Not(HasSubstr("laptop"))));
  EXPECT_EQ(lines_of(there.run({"audit", "--json", "--last", "2"}).out).size(), 2U);
  EXPECT_THAT(there.run({"audit", "--last", "2"}).out, HasSubstr("--last N shows more"));
  EXPECT_THAT(there.run({"audit", "--since", "2999-01-01"}).out, HasSubstr("Nothing of that"));
  const Ran wrong = there.run({"audit", "--since", "soon"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("'soon' is no time"));
}

TEST(Audit, AHistoryThatMayNotBeWrittenIsNamedWithItsCure) {
  Yard yard;
  yard.write_module("scorer", 1);
  {
    Process daemon = yard.watch();
    daemon.event("committed");
    daemon.signal(SIGTERM);
    EXPECT_EQ(daemon.wait(), 0);
  }
  std::string journal;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(yard.path() + "/state"))
    if (entry.path().filename() == "journal.sqlite") journal = entry.path();
  ASSERT_EQ(::chmod(journal.c_str(), 0400), 0);
  yard.drop_power();
  const Ran ran = yard.run({"watch", yard.build()});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr(journal), HasSubstr("chmod 600"), HasSubstr("move it away")));
  ASSERT_EQ(::chmod(journal.c_str(), 0600), 0);
  Process daemon = yard.watch();
  EXPECT_EQ(yard.run({"status"}).exit_code, 0);
}

TEST(Audit, SaysWhereItIsWhenItIsNotHere) {
  Yard yard;
  const Ran none = yard.run({"audit"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("moddev watch DIR"));
  const Ran other = yard.run({"audit", yard.build()});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("It is where its daemon runs"));
}

}  // namespace
}  // namespace moddev::e2e
