// Where a client's keys can be named (flags, variables, moddev.toml, the C interface), in which order they
// count, and what a person is told when one cannot be used.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/e2e/keys/two_machines.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// The client's key lies where no program looks for it by itself, and it has no list of whom to trust.
class NamedKeys : public TwoMachines {
 protected:
  NamedKeys() { std::filesystem::rename(here.path() + "/home/.config/moddev", key_directory()); }

  [[nodiscard]] std::string key_directory() const { return here.path() + "/elsewhere"; }
  [[nodiscard]] std::string key_file() const { return key_directory() + "/transport.key_secret"; }

  Process executor(std::vector<std::string> more, std::vector<std::string> environment = {}) {
    more.insert(more.begin(),
                {"executor", "--json", "--name", "far", "--call", "scorer:value", "--endpoint", endpoint});
    return here.start(std::move(more), std::move(environment));
  }
  Ran failing_executor(std::vector<std::string> more) {
    more.insert(more.begin(), {"executor", "--json", "--endpoint", endpoint});
    return here.run(std::move(more));
  }
  void configure(const std::string& text) const { Yard::write_file(here.path() + "/moddev.toml", text); }
};

TEST_F(NamedKeys, ByFlagsMakeAnExecutorAMember) {
  Process far = executor({"--key", key_file(), "--daemon-keys", daemon_key});
  EXPECT_EQ(far.event("called")["result"], 42);
}

TEST_F(NamedKeys, ByVariablesToo) {
  Process far =
      executor({}, {"MODDEV_KEY=" + key_file(), "MODDEV_DAEMON_KEY=" + client_key + " " + daemon_key});
  EXPECT_EQ(far.event("called")["result"], 42);
}

TEST_F(NamedKeys, ByTheConfigurationFileForEveryCommandAndFromWhereItLies) {
  configure("endpoint = \"" + endpoint +
            "\"\n[executor]\nkey = \"elsewhere/transport.key_secret\"\ndaemon_keys = [\"" + daemon_key +
            "\"]\n");
  Process far = here.start({"executor", "--json", "--call", "scorer:value"});
  EXPECT_EQ(far.event("called")["result"], 42);
  const Ran status = here.run({"status", "--json"});
  ASSERT_EQ(status.exit_code, 0) << status.err;
  EXPECT_EQ(Json::parse(status.out)["modules"][0]["name"], "scorer");
}

TEST_F(NamedKeys, AFlagWinsOverTheConfigurationFile) {
  configure("[executor]\nkey = \"nowhere\"\ndaemon_keys = [\"" + client_key + "\"]\n");
  Process far = executor({"--key", key_file(), "--daemon-keys", daemon_key});
  EXPECT_EQ(far.event("called")["result"], 42);
}

TEST_F(NamedKeys, OneOfSeveralDaemonKeysIsEnough) {
  Process far = executor({"--key", key_file(), "--daemon-keys", client_key, "--daemon-keys", daemon_key});
  EXPECT_EQ(far.event("called")["result"], 42);
}

TEST_F(NamedKeys, ADaemonThatHasNoneOfThemIsNotBelieved) {
  Process far = executor({"--key", key_file(), "--daemon-keys", client_key});
  far.event("stale", [](const Json& line) {
    const std::string reason = line["reason"];
    return reason.find("does not prove to have the key") != std::string::npos &&
           reason.find("have the argument name it") != std::string::npos;
  });
  expect_still_served();
}

TEST_F(NamedKeys, AnExecutorWhoseKeyIsNotTrustedSaysWhichAndWhatToDo) {
  ASSERT_EQ(there.run({"trust", "remove", "laptop"}).exit_code, 0);
  Process far = executor({"--key", key_file(), "--daemon-keys", daemon_key});
  far.event("stale", [&](const Json& line) {
    return line["reason"].get<std::string>().find("does not trust the key '" + client_key + "'") !=
           std::string::npos;
  });
  ASSERT_EQ(there.run({"trust", "add", "laptop", client_key}).exit_code, 0);
  EXPECT_EQ(far.event("called")["result"], 42);
}

TEST_F(NamedKeys, AMissingFileIsToldWithWhoNamedItAndWhatToDo) {
  Ran ran = failing_executor({"--key", key_directory() + "/nosuch", "--daemon-keys", daemon_key});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("The argument names a key"), HasSubstr("elsewhere/nosuch"),
                             HasSubstr("moddev keygen")));
  configure("[executor]\nkey = \"nosuch\"\ndaemon_keys = [\"" + daemon_key + "\"]\n");
  ran = failing_executor({});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("moddev.toml names a key"), HasSubstr("/nosuch")));
}

TEST_F(NamedKeys, AFileThatOthersCanReadIsToldWithItsCure) {
  ASSERT_EQ(::chmod(key_file().c_str(), 0640), 0);
  const Ran ran = failing_executor({"--key", key_file(), "--daemon-keys", daemon_key});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, HasSubstr("chmod 600 " + key_file()));
}

TEST_F(NamedKeys, ThePublicHalfIsToldApart) {
  const Ran ran =
      failing_executor({"--key", key_directory() + "/transport.key", "--daemon-keys", daemon_key});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("transport.key"), HasSubstr("key_secret")));
}

TEST_F(NamedKeys, WhatIsNoDaemonsKeyIsWrongUsage) {
  const Ran ran = failing_executor({"--daemon-keys", "12345"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("'12345' from the argument"), HasSubstr("40 characters")));
}

TEST_F(NamedKeys, AreTakenByTheCInterface) {
  const std::string signer = Json::parse(there.run({"keygen", "--json"}).out)["signing"]["public_key"];
  const auto says = [&](const std::vector<std::string>& arguments) {
    std::vector<std::string> command = {MODDEV_C_KEYS_CHECK, endpoint, key_file(), daemon_key};
    command.insert(command.end(), arguments.begin(), arguments.end());
    Process program(command, {"HOME=" + here.path() + "/home", "XDG_CACHE_HOME=" + here.path() + "/cache"},
                    here.path(), here.path() + "/c.err");
    const std::string line = program.line_that([](const std::string&) { return true; });
    EXPECT_EQ(program.wait(), 0);
    return line;
  };
  EXPECT_EQ(says({signer, "scorer"}), "42");
  // A public key of RFC 8032, 7.1.
  EXPECT_THAT(says({"ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "scorer"}),
              HasSubstr("is not believed"));
  EXPECT_THAT(says({signer, "other"}), HasSubstr("its `modules` are other"));
}

}  // namespace
}  // namespace moddev::e2e
