// Connections from elsewhere, with the real program: friends get in, strangers do not, each is told why, and
// the daemon goes on serving. Two yards stand for two machines: each has its own home, keys and lists.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <memory>
#include <string>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string key_of(Yard& yard) {
  const Ran ran = yard.run({"keygen", "--json"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  return Json::parse(ran.out)["transport"]["public_key"];
}

/// A daemon at an address that other machines could reach, and a client whose key it trusts.
class TwoMachines : public ::testing::Test {
 protected:
  TwoMachines() {
    daemon_key = key_of(there);
    client_key = key_of(here);
    EXPECT_EQ(there.run({"trust", "add", "laptop", client_key}).exit_code, 0);
    there.write_module("scorer", 42);
    daemon = std::make_unique<Process>(there.start(
        {"watch", there.build(), "--json", "--bind", "tcp://0.0.0.0:*", "--bind", there.default_endpoint()}));
    const std::string bound = daemon->event("listening")["endpoint"];
    endpoint = "tcp://127.0.0.1:" + bound.substr(bound.rfind(':') + 1);
    daemon->event("committed");
  }
  void trust_the_daemon() { EXPECT_EQ(here.run({"trust", "add", endpoint, daemon_key}).exit_code, 0); }
  Ran status_from_here() { return here.run({"status", "--json", "--endpoint", endpoint}); }
  void expect_still_served() { EXPECT_EQ(there.run({"status"}).exit_code, 0); }

  Yard there;
  Yard here;
  std::string daemon_key;
  std::string client_key;
  std::string endpoint;
  std::unique_ptr<Process> daemon;
};

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
  const auto members = [&] { return Json::parse(there.run({"status", "--json"}).out)["executors"].dump(); };
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (members().find("\"gone\"") == std::string::npos && members() != "[]" &&
         std::chrono::steady_clock::now() < deadline) {
  }
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
