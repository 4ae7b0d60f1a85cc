// Connections from elsewhere, with the real program: friends get in, strangers do not, each is told why, and
// the daemon goes on serving.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/keys/two_machines.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(TwoMachines, AFriendIsServedAndItsExecutorRunsTheModule) {
  trust_the_daemon();
  const Ran status = status_from_here();
  ASSERT_EQ(status.exit_code, 0) << status.err;
  EXPECT_EQ(Json::parse(status.out)["modules"][0]["name"], "scorer");
  Process executor =
      here.start({"executor", "--json", "--name", "far", "--call", "scorer:value", "--endpoint", endpoint});
  EXPECT_EQ(executor.event("called")["result"], 42);
  there.write_module("scorer", 43);
  executor.event("called", [](const Json& json) { return json["result"] == 43; });
}

TEST_F(TwoMachines, WithoutTheDaemonsKeyNothingIsSent) {
  const Ran status = status_from_here();
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_THAT(status.err,
              AllOf(HasSubstr("lets in only who has a key"), HasSubstr("moddev trust add " + endpoint)));
  expect_still_served();
}

TEST_F(TwoMachines, AStrangersKeyIsRefusedWithWhatToDo) {
  trust_the_daemon();
  EXPECT_EQ(here.run({"keygen", "--replace", "transport"}).exit_code, 0);
  const std::string stranger = key_of(here);
  const Ran status = status_from_here();
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_THAT(status.err,
              AllOf(HasSubstr("does not trust the key '" + stranger + "'"), HasSubstr("moddev trust add")));
  const Json warning =
      daemon->event("warning", [](const Json& json) { return json["code"] == "access_denied"; });
  EXPECT_THAT(warning["message"].get<std::string>(), AllOf(HasSubstr("127.0.0.1"), HasSubstr(stranger)));
  expect_still_served();
  EXPECT_EQ(there.run({"trust", "add", "laptop", stranger}).exit_code, 0);
  EXPECT_EQ(status_from_here().exit_code, 0) << "trusted without a restart";
}

TEST_F(TwoMachines, ADaemonWithAnotherKeyIsNotBelieved) {
  EXPECT_EQ(here.run({"trust", "add", endpoint, client_key}).exit_code, 0);
  const Ran status = status_from_here();
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_THAT(status.err, HasSubstr("does not prove to have the key"));
  expect_still_served();
}

TEST_F(TwoMachines, WhoIsRevokedIsCutOffAndComesBackWhenTrusted) {
  trust_the_daemon();
  Process executor =
      here.start({"executor", "--json", "--name", "far", "--call", "scorer:value", "--endpoint", endpoint});
  EXPECT_EQ(executor.event("called")["result"], 42);
  EXPECT_EQ(there.run({"trust", "remove", "laptop"}).exit_code, 0);
  daemon->event("warning", [](const Json& json) { return json["code"] == "access_denied"; });
  executor.event("stale");
  const auto is_member = [&] {
    const Json executors = Json::parse(there.run({"status", "--json"}).out)["executors"];
    return std::any_of(executors.begin(), executors.end(), [](const Json& one) {
      return one["name"] == "far" && one["state"] != "fenced" && one["state"] != "gone";
    });
  };
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (is_member()) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  there.write_module("scorer", 43);
  daemon->event("committed");
  const Ran status = status_from_here();
  EXPECT_EQ(status.exit_code, 1);
  for (const std::string& line : executor.lines()) EXPECT_EQ(line.find("\"result\":43"), std::string::npos);
  EXPECT_EQ(there.run({"trust", "add", "laptop", client_key}).exit_code, 0);
  executor.event("called", [](const Json& json) { return json["result"] == 43; });
}

TEST_F(TwoMachines, AClientsKeyIsChangedWithoutARestart) {
  trust_the_daemon();
  EXPECT_EQ(here.run({"keygen", "--replace", "transport"}).exit_code, 0);
  const std::string fresh = key_of(here);
  EXPECT_EQ(there.run({"trust", "add", "laptop", fresh}).exit_code, 0);
  EXPECT_EQ(status_from_here().exit_code, 0);
  EXPECT_EQ(there.run({"trust", "remove", "laptop", client_key}).exit_code, 0);
  EXPECT_EQ(status_from_here().exit_code, 0);
}

/// The same with a rule: the client may see and fetch what is called ui*, and nothing else.
class OnlyUi : public TwoMachines {
 protected:
  OnlyUi() {
    there.write_module("uimenu", 1);
    Yard::write_file(
        there.path() + "/moddev.toml",
        "[[access]]\nwho = [\"laptop\"]\nmay = [\"status\", \"fetch\", \"run\"]\nmodules = [\"ui*\"]\n");
    daemon->signal(SIGTERM);
    daemon->wait();
    daemon = std::make_unique<Process>(there.start(
        {"watch", there.build(), "--json", "--bind",
         "tcp://0.0.0.0:" + endpoint.substr(endpoint.rfind(':') + 1), "--bind", there.default_endpoint()}));
    daemon->event("listening");
    trust_the_daemon();
    EXPECT_EQ(there.run({"refresh"}).exit_code, 0);
  }
};

TEST_F(OnlyUi, AForbiddenModuleIsAsUnknownAndTheOwnerIsTold) {
  const Ran status = status_from_here();
  ASSERT_EQ(status.exit_code, 0) << status.err;
  EXPECT_THAT(status.out, AllOf(HasSubstr("uimenu"), ::testing::Not(HasSubstr("scorer"))));
  EXPECT_EQ(here.run({"fetch", "uimenu", "-o", "-", "--endpoint", endpoint}).exit_code, 0);
  const Ran hidden = here.run({"fetch", "scorer", "-o", here.path() + "/got", "--endpoint", endpoint});
  EXPECT_EQ(hidden.exit_code, 1);
  EXPECT_THAT(hidden.err, HasSubstr("scorer"));
  EXPECT_EQ(Yard::read_file(here.path() + "/got"), "");
  const Ran none = here.run({"fetch", "nosuch", "-o", here.path() + "/got", "--endpoint", endpoint});
  std::string expected = none.err;
  expected.replace(expected.find("nosuch"), 6, "scorer");
  EXPECT_EQ(hidden.err, expected) << "no difference to one that is not there";
  const Json told =
      daemon->event("warning", [](const Json& json) { return json["code"] == "access_denied"; });
  EXPECT_THAT(told["message"].get<std::string>(), AllOf(HasSubstr("laptop"), HasSubstr("scorer")));
  expect_still_served();
}

TEST_F(OnlyUi, AnExecutorRunsWhatItMayAndNeverHearsOfTheRest) {
  Process executor =
      here.start({"executor", "--json", "--name", "far", "--call", "uimenu:value", "--endpoint", endpoint});
  EXPECT_EQ(executor.event("called")["result"], 1);
  there.write_module("scorer", 43);
  daemon->event("committed");
  there.write_module("uimenu", 2);
  executor.event("called", [](const Json& json) { return json["result"] == 2; });
  for (const std::string& line : executor.lines()) EXPECT_EQ(line.find("scorer"), std::string::npos) << line;
}

TEST_F(OnlyUi, WhatChangesSomethingIsDenied) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"rollback", "uimenu"}, {"refresh"}, {"build", "--", "true"}}) {
    std::vector<std::string> all = words;
    all.insert(all.begin() + 1, {"--endpoint", endpoint});
    const Ran ran = here.run(all);
    // `build` runs its command all the same, without holding anything back.
    EXPECT_EQ(ran.exit_code, words.front() == "build" ? 0 : 1) << words.front();
    EXPECT_THAT(ran.err, AllOf(HasSubstr("'laptop' may not"), HasSubstr("[[access]]"))) << words.front();
  }
}

TEST(Doors, ARightThatThereIsNotIsNamed) {
  Yard yard;
  Yard::write_file(yard.path() + "/moddev.toml", "[[access]]\nwho = [\"a\"]\nmay = [\"fly\"]\n");
  const Ran ran = yard.run({"watch", yard.build()});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, HasSubstr("no right 'fly'"));
  Yard::write_file(yard.path() + "/moddev.toml", "[[access]]\nwhom = [\"a\"]\n");
  EXPECT_THAT(yard.run({"watch", yard.build()}).err, HasSubstr("did you mean 'who'?"));
}

TEST(Doors, ARuleForNobodyOrNothingIsDoubtedAtTheStart) {
  Yard yard;
  EXPECT_EQ(yard.run({"trust", "add", "laptop", key_of(yard)}).exit_code, 0);
  Yard::write_file(
      yard.path() + "/moddev.toml",
      "[[access]]\nwho = [\"laptop\", \"user\"]\nmay = [\"run\"]\nmodules = [\"not-there-yet\"]\n"
      "[[access]]\nwho = [\"lapotp\"]\nmay = [\"status\"]\nmodules = [\"/ui/*\"]\n");
  Process watch = yard.watch();
  for (const char* part : {"did you mean 'laptop'?", "'/ui/*'"}) {
    const Json warning = watch.event("warning");
    EXPECT_EQ(warning["code"], "access_rule");
    EXPECT_THAT(warning["message"].get<std::string>(),
                AllOf(HasSubstr(yard.path() + "/moddev.toml:5: "), HasSubstr(part)));
  }
  yard.write_module("scorer", 1);
  watch.event("committed");
  for (const std::string& line : watch.lines()) EXPECT_EQ(line.find("not-there-yet"), std::string::npos);
}

TEST(Doors, AnAddressThatOthersReachNeedsAKey) {
  Yard yard;
  const Ran ran = yard.run({"watch", yard.build(), "--bind", "tcp://0.0.0.0:*"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("moddev keygen"), HasSubstr("moddev trust add NAME KEY")));
}

TEST(Doors, ASecretThatOthersCanReadOpensNothing) {
  Yard yard;
  key_of(yard);
  ASSERT_EQ(::chmod((yard.path() + "/home/.config/moddev/transport.key_secret").c_str(), 0640), 0);
  const Ran ran = yard.run({"watch", yard.build(), "--bind", "tcp://0.0.0.0:*"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, HasSubstr("chmod 600"));
}

}  // namespace
}  // namespace moddev::e2e
