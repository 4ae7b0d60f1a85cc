// Signed epochs with the real program: who signs, who is believed, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kStranger = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

std::string signing_key(Yard& yard) {
  const Ran ran = yard.run({"keygen", "--json"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  return Json::parse(ran.out, nullptr, false)["signing"]["public_key"];
}

Process executor(Yard& yard, const std::string& name, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"executor", "--json", "--name", name, "--call", "scorer:value"});
  return yard.start(std::move(more));
}

bool calls(const Json& line, std::int64_t value) {
  return line["result"] == value;
}

TEST(SignedEpochs, RunInExecutorsThatTrustTheSigner) {
  Yard yard;
  const std::string key = signing_key(yard);
  ASSERT_EQ(yard.run({"trust", "add", "alice", key}).exit_code, 0);
  yard.write_module("scorer", 1);
  Process daemon = yard.watch();
  EXPECT_THAT(daemon.lines().back(), HasSubstr("\"signer\":\"" + key + "\""));
  Process worker = executor(yard, "worker");
  worker.event("called", [](const Json& line) { return calls(line, 1); });
  yard.write_module("scorer", 2);
  worker.event("called", [](const Json& line) { return calls(line, 2); });
  // Going back is a new epoch, with a signature of its own.
  EXPECT_EQ(yard.run({"rollback"}).exit_code, 0);
  worker.event("called", [](const Json& line) { return calls(line, 1); });
}

TEST(SignedEpochs, AStrangersSignatureIsRefusedAndOthersAreServed) {
  Yard yard;
  signing_key(yard);
  yard.write_module("scorer", 1);
  Process daemon = yard.watch();
  Process careful = executor(yard, "careful", {"--signers", kStranger});
  const Json refused = careful.event("stale");
  EXPECT_THAT(refused["reason"].get<std::string>(),
              AllOf(HasSubstr("is not believed. It is signed by ed25519:"), HasSubstr(kStranger)));
  Process other = executor(yard, "other");
  other.event("called", [](const Json& line) { return calls(line, 1); });
  yard.write_module("scorer", 2);
  other.event("called", [](const Json& line) { return calls(line, 2); });
  for (const std::string& line : careful.lines()) EXPECT_THAT(line, HasSubstr("stale"));
}

TEST(SignedEpochs, ADaemonWithoutAKeyIsRefusedByWhoAsksForSignatures) {
  Yard yard;
  yard.write_module("scorer", 1);
  Process daemon = yard.watch();
  Process careful = executor(yard, "careful", {"--signers", kStranger});
  EXPECT_THAT(careful.event("stale")["reason"].get<std::string>(),
              AllOf(HasSubstr("It is not signed"), HasSubstr("moddev keygen")));
}

TEST(SignedEpochs, AKeyThatOthersCanReadIsNotUsed) {
  Yard yard;
  yard.drop_power();
  signing_key(yard);
  ASSERT_EQ(::chmod((yard.path() + "/home/.config/moddev/signing.pem").c_str(), 0644), 0);
  yard.write_module("scorer", 1);
  const Ran ran = yard.run({"watch", yard.build()});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("signing.pem"), HasSubstr("chmod")));
}

TEST(SignedEpochs, AForbiddenModuleIsRefusedWithItsMessageAndLoadedNowhere) {
  Yard yard;
  yard.write_module("scorer", 1);
  Process daemon = yard.watch();
  Process picky = executor(yard, "picky", {"--modules", "scorer", "--modules", "util*"});
  picky.event("called", [](const Json& line) { return calls(line, 1); });
  yard.write_module("miner", 7);
  const Json aborted = daemon.event("aborted");
  EXPECT_EQ(aborted["failures"][0]["module"], "miner");
  EXPECT_THAT(aborted["failures"][0]["error"].get<std::string>(),
              HasSubstr("its `modules` are scorer, util*"));
  const Json failed = picky.event("failed");
  EXPECT_EQ(failed["module"], "miner");
  yard.write_module("utility", 8);
  daemon.event("aborted");  // the forbidden one is still there
}

TEST(SignedEpochs, TheConfigurationFileSaysTheSame) {
  Yard yard;
  signing_key(yard);
  Yard::write_file(yard.path() + "/moddev.toml",
                   "[executor]\nsigners = [\"" + kStranger + "\"]\nmodules = [\"scorer\"]\n");
  yard.write_module("scorer", 1);
  Process daemon = yard.watch();
  Process careful = executor(yard, "careful");
  EXPECT_THAT(careful.event("stale")["reason"].get<std::string>(), HasSubstr(kStranger));
  Yard::write_file(yard.path() + "/moddev.toml", "[executor]\nsigners = [\"ed25519:12\"]\n");
  const Ran ran = yard.run({"executor", "--json"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("moddev.toml:2"), HasSubstr("64 hexadecimal digits")));
}

}  // namespace
}  // namespace moddev::e2e
