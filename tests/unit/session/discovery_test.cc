#include "client/src/discovery.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "client/src/believed_lists.h"
#include "client/src/limits.h"
#include "client/src/zmq_link.h"
#include "protocol/configuration.h"
#include "protocol/endpoint.h"
#include "protocol/private_file.h"

namespace moddev::client {
namespace {

class Discovery : public ::testing::Test {
 protected:
  Discovery() {
    std::string pattern = (std::filesystem::temp_directory_path() / "moddev-discovery-XXXXXX").string();
    root = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(root / "project/sub/dir");
    here.working_directory = (root / "project/sub/dir").string();
    here.xdg_runtime_dir = "/run/user/1000";
    here.uid = ::geteuid();
  }
  ~Discovery() override { std::filesystem::remove_all(root); }

  void write(const std::filesystem::path& file, const std::string& text) {
    std::ofstream(root / file) << text;
  }

  std::filesystem::path root;
  Surroundings here;
};

TEST_F(Discovery, WithoutAnythingItIsTheUsersDefaultSocket) {
  const auto found = discover_endpoint("", here);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->endpoint, "ipc:///run/user/1000/moddev/default.sock");
  EXPECT_EQ(found->source, "the default");
  here.xdg_runtime_dir.clear();
  EXPECT_EQ(discover_endpoint("", here)->endpoint, default_endpoint(nullptr, here.uid));
}

TEST_F(Discovery, TheNearestConfigurationFileUpwardsDecides) {
  write("moddev.toml", "endpoint = \"tcp://127.0.0.1:1\"\n");
  EXPECT_EQ(discover_endpoint("", here)->endpoint, "tcp://127.0.0.1:1");
  write("project/moddev.toml",
        "# ours\nendpoint = \"tcp://127.0.0.1:2\"\n[dependencies]\nscorer = [\"base\"]\n");
  const auto found = discover_endpoint("", here);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->endpoint, "tcp://127.0.0.1:2");
  EXPECT_EQ(found->source, (root / "project/moddev.toml").string());
}

TEST_F(Discovery, AFileWithoutAnEndpointLeavesItToTheDefault) {
  write("project/moddev.toml", "debounce = 5\n");
  EXPECT_EQ(discover_endpoint("", here)->source, "the default");
}

TEST_F(Discovery, TheVariableBeatsTheFileAndTheArgumentBeatsBoth) {
  write("moddev.toml", "endpoint = \"tcp://127.0.0.1:1\"\n");
  here.moddev_endpoint = "tcp://127.0.0.1:2";
  EXPECT_EQ(discover_endpoint("", here)->source, "MODDEV_ENDPOINT");
  EXPECT_EQ(discover_endpoint("tcp://127.0.0.1:3", here)->endpoint, "tcp://127.0.0.1:3");
}

TEST_F(Discovery, WhatIsMalformedIsToldWithItsPlace) {
  here.moddev_endpoint = "localhost:5";
  auto found = discover_endpoint("", here);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(found.error().message.find("MODDEV_ENDPOINT"), std::string::npos);
  here.moddev_endpoint.clear();
  write("project/moddev.toml", "debounce = 1\nendpoint = 5\n");
  found = discover_endpoint("", here);
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("moddev.toml:2"), std::string::npos) << found.error().message;
  write("project/moddev.toml", "debounce = 1\n\nendpoint = \n");
  found = discover_endpoint("", here);
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("moddev.toml:3"), std::string::npos) << found.error().message;
}

TEST_F(Discovery, AKeyThatNobodyKnowsIsAnErrorAndOneThatOnlyTheDaemonKnowsIsNone) {
  write("project/moddev.toml", "[supervise]\nworkers = 2\n");
  EXPECT_EQ(discover_endpoint("", here)->source, "the default");
  write("project/moddev.toml", "# ours\nendpont = \"ipc:///tmp/foo\"\n");
  const auto found = discover_endpoint("", here);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(found.error().message.find("moddev.toml:2: "), std::string::npos) << found.error().message;
  EXPECT_NE(found.error().message.find("did you mean 'endpoint'?"), std::string::npos);
  write("project/moddev.toml", "debounce = \"5\"\n");
  EXPECT_FALSE(discover_endpoint("", here));
}

TEST_F(Discovery, AHugeFileIsNotRead) {
  write("project/moddev.toml", std::string(limits::kConfigurationBytes + 1, '#'));
  const auto found = discover_endpoint("", here);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kLimit);
}

TEST_F(Discovery, AFileThatAnyoneCanWriteIsNotBelievedAndNothingGoesOnWithoutIt) {
  write("moddev.toml", "endpoint = \"tcp://127.0.0.1:1\"\n");
  const std::string file = (root / "moddev.toml").string();
  ASSERT_EQ(::chmod(file.c_str(), 0666), 0);
  for (const Error& error : {discover_endpoint("", here).error(), discover_believed({}, {}, here).error(),
                             discover_keys("", {}, here).error()}) {
    EXPECT_EQ(error.code, ErrorCode::kPermission);
    EXPECT_NE(error.message.find(file + " has mode 0666"), std::string::npos) << error.message;
    EXPECT_NE(error.message.find("chmod o-w " + file), std::string::npos) << error.message;
  }
  ASSERT_EQ(::chmod(file.c_str(), 0664), 0);
  EXPECT_EQ(discover_endpoint("", here)->source, file) << "a group may, as with umask 002";
}

TEST_F(Discovery, AFileOfAnotherUserIsNotBelieved) {
  write("moddev.toml", "endpoint = \"tcp://127.0.0.1:1\"\n");
  const std::string file = (root / "moddev.toml").string();
  here.uid = ::geteuid() + 1;
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(file.c_str(), 7, 0), 0);
  }
  const auto found = discover_endpoint("", here);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kPermission);
  EXPECT_NE(found.error().message.find(file + " belongs to user"), std::string::npos)
      << found.error().message;
  EXPECT_NE(found.error().message.find("moddev.toml of your own"), std::string::npos)
      << found.error().message;
}

TEST_F(Discovery, AFileWhereAnyoneCanPutAnotherIsNotBelieved) {
  write("project/moddev.toml", "endpoint = \"tcp://127.0.0.1:1\"\n");
  const std::string directory = (root / "project").string();
  ASSERT_EQ(::chmod(directory.c_str(), 0777), 0);
  const auto found = discover_endpoint("", here);
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("chmod o-w " + directory), std::string::npos) << found.error().message;
  ASSERT_EQ(::chmod(directory.c_str(), 01777), 0);
  EXPECT_TRUE(discover_endpoint("", here)) << "nobody else can replace it in a sticky directory";
  ASSERT_EQ(::chmod(directory.c_str(), 0775), 0);
  EXPECT_TRUE(discover_endpoint("", here));
}

TEST_F(Discovery, LooksUpwardsOnlySoFar) {
  std::filesystem::path deep = root;
  for (std::size_t i = 0; i < limits::kConfigurationDepth; ++i) deep /= "d";
  std::filesystem::create_directories(deep);
  write("moddev.toml", "endpoint = \"tcp://127.0.0.1:1\"\n");
  here.working_directory = deep.string();
  EXPECT_EQ(discover_endpoint("", here)->source, "the default");
  here.working_directory = deep.parent_path().string();
  EXPECT_NE(discover_endpoint("", here)->source, "the default");
}

const std::string kDaemonKey = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
const std::string kOtherKey = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";

TEST_F(Discovery, WithoutAWordTheKeysAreTheUsersOwn) {
  const auto keys = discover_keys("", {}, here);
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->key_file, "");
  EXPECT_TRUE(keys->daemon_keys.empty());
  EXPECT_EQ(keys->daemon_keys_named_by, "");
}

TEST_F(Discovery, AKeyIsNamedByTheArgumentTheVariableOrTheFileInThisOrder) {
  write("project/moddev.toml",
        "[executor]\nkey = \"keys/ci\"\ndaemon_keys = [\"" + kDaemonKey + "\", \"" + kOtherKey + "\"]\n");
  auto keys = discover_keys("", {}, here);
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->key_file, (root / "project/keys/ci").string()) << "from where the file lies";
  EXPECT_EQ(keys->key_named_by, (root / "project/moddev.toml").string());
  EXPECT_EQ(keys->daemon_keys, (std::vector<std::string>{kDaemonKey, kOtherKey}));
  here.moddev_key = "/variable";
  here.moddev_daemon_key = kOtherKey + " " + kDaemonKey;
  keys = discover_keys("", {}, here);
  EXPECT_EQ(keys->key_file, "/variable");
  EXPECT_EQ(keys->key_named_by, "MODDEV_KEY");
  EXPECT_EQ(keys->daemon_keys, (std::vector<std::string>{kOtherKey, kDaemonKey}));
  EXPECT_EQ(keys->daemon_keys_named_by, "MODDEV_DAEMON_KEY");
  keys = discover_keys("/argument", {kDaemonKey}, here);
  EXPECT_EQ(keys->key_file, "/argument");
  EXPECT_EQ(keys->daemon_keys, std::vector<std::string>{kDaemonKey});
}

TEST_F(Discovery, WhatIsNoDaemonsKeyIsToldWithItsPlace) {
  here.moddev_daemon_key = kDaemonKey + " nonsense";
  const auto keys = discover_keys("", {}, here);
  ASSERT_FALSE(keys);
  EXPECT_EQ(keys.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(keys.error().message.find("'nonsense' from MODDEV_DAEMON_KEY"), std::string::npos)
      << keys.error().message;
  here.moddev_daemon_key = std::string(40, '0');
  const auto nobodys = discover_keys("", {}, here);
  ASSERT_FALSE(nobodys);
  EXPECT_NE(nobodys.error().message.find("MODDEV_DAEMON_KEY"), std::string::npos) << nobodys.error().message;
  EXPECT_NE(nobodys.error().message.find("pretend to have it"), std::string::npos);
}

// Public keys of RFC 8032, 7.1.
const std::string kAlice = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
const std::string kBob = "ed25519:fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";

class Lists : public Discovery {
 protected:
  Lists() {
    here.home = (root / "home").string();
    std::filesystem::create_directories(root / "home/.config/moddev");
  }
  /// As `moddev trust` does it: another file in its place.
  void trust(const std::string& text) {
    ASSERT_TRUE(write_private_file((root / "home/.config/moddev/trusted").string(), text, Secrecy::kSecret,
                                   Existing::kReplace));
  }
};

TEST_F(Lists, AreReadAgainWhenAFileHasChangedAndNotOtherwise) {
  trust("signer alice " + kAlice + "\n");
  BelievedLists lists({}, {}, here);
  const auto first = lists.read();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->signers.size(), 1U);
  EXPECT_FALSE(lists.changed());
  trust("signer alice " + kAlice + "\nsigner bob " + kBob + "\n");
  auto now = lists.changed();
  ASSERT_TRUE(now);
  EXPECT_EQ(now->signers.size(), 2U);
  EXPECT_FALSE(lists.changed());
  write("project/moddev.toml", "[executor]\nsigners = [\"" + kBob + "\"]\nmodules = [\"m\"]\n");
  now = lists.changed();
  ASSERT_TRUE(now) << "a file that was not there";
  EXPECT_EQ(now->signers, std::vector{*PublicKey::parse(kBob)});
  EXPECT_EQ(now->modules, std::vector<std::string>{"m"});
  std::filesystem::remove(root / "project/moddev.toml");
  trust("");
  now = lists.changed();
  ASSERT_TRUE(now);
  EXPECT_TRUE(now->signers.empty());
}

TEST_F(Lists, BelieveNobodyOnceAnyoneCanWriteTheFileThatNamedTheSigners) {
  write("project/moddev.toml", "[executor]\nsigners = [\"" + kBob + "\"]\n");
  BelievedLists lists({}, {}, here);
  ASSERT_TRUE(lists.read());
  ASSERT_EQ(::chmod((root / "project/moddev.toml").c_str(), 0666), 0);
  const auto now = lists.changed();
  ASSERT_TRUE(now);
  EXPECT_TRUE(now->signers.empty());
}

TEST_F(Lists, ThatCannotBeReadAnyMoreBelieveNobodyWhereSignersWereAskedFor) {
  BelievedLists careless({}, {}, here);
  ASSERT_TRUE(careless.read());
  trust("signer alice\n");
  EXPECT_FALSE(careless.changed()) << "nothing was asked for";
  trust("signer alice " + kAlice + "\n");
  BelievedLists careful({}, {}, here);
  ASSERT_TRUE(careful.read());
  trust("signer alice\n");
  const auto now = careful.changed();
  ASSERT_TRUE(now);
  EXPECT_TRUE(now->signers.empty());
}

TEST_F(Lists, OfArgumentsDoNotChange) {
  BelievedLists lists({kAlice}, {"m"}, here);
  ASSERT_TRUE(lists.read());
  trust("signer bob " + kBob + "\n");
  EXPECT_FALSE(lists.changed());
}

TEST(CacheDirectory, FollowsTheXdgVariables) {
  Surroundings here;
  EXPECT_FALSE(default_cache_directory(here));
  here.home = "/home/me";
  EXPECT_EQ(*default_cache_directory(here), "/home/me/.cache/moddev");
  here.xdg_cache_home = "relative";
  EXPECT_EQ(*default_cache_directory(here), "/home/me/.cache/moddev");
  here.xdg_cache_home = "/cache";
  EXPECT_EQ(*default_cache_directory(here), "/cache/moddev");
}

TEST(EventsEndpoint, IsWhereTheDaemonWasReached) {
  const Endpoint tcp = *parse_endpoint("tcp://build-host:5555");
  EXPECT_EQ(*reachable_events_endpoint(tcp, "tcp://*:6000"), "tcp://build-host:6000");
  EXPECT_EQ(*reachable_events_endpoint(*parse_endpoint("tcp://[::1]:5555"), "tcp://*:6000"),
            "tcp://[::1]:6000");
  EXPECT_FALSE(reachable_events_endpoint(tcp, "ipc:///tmp/x.sock"));
  EXPECT_FALSE(reachable_events_endpoint(tcp, "nonsense"));
  const Endpoint ipc = *parse_endpoint("ipc:///run/user/1/moddev/default.sock");
  EXPECT_EQ(*reachable_events_endpoint(ipc, "ipc:///run/user/1/moddev/default.sock-events"),
            "ipc:///run/user/1/moddev/default.sock-events");
  EXPECT_FALSE(reachable_events_endpoint(ipc, "ipc:///tmp/elsewhere.sock"));
  EXPECT_FALSE(reachable_events_endpoint(ipc, "tcp://*:6000"));
}

}  // namespace
}  // namespace moddev::client
