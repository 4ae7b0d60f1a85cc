#include "tools/moddev/places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "protocol/digest.h"
#include "tests/support/session/zmq_daemon.h"

namespace moddev::tools {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Places some_places() {
  Places places;
  places.here.home = "/home/me";
  places.here.uid = ::geteuid();
  return places;
}

TEST(StateDirectory, IsBelowXdgStateHomeOrHome) {
  Places places = some_places();
  const std::string name = digest_of("/home/me/build").hex().substr(0, 16);
  EXPECT_EQ(state_directory(places, "/home/me/build").value(), "/home/me/.local/state/moddev/" + name);
  places.xdg_state_home = "/state";
  EXPECT_EQ(state_directory(places, "/home/me/build").value(), "/state/moddev/" + name);
  places.xdg_state_home = "not/absolute";
  EXPECT_EQ(state_root(places).value(), "/home/me/.local/state/moddev");
}

TEST(StateDirectory, NeedsAPlace) {
  Places places = some_places();
  places.here.home = "";
  EXPECT_THAT(state_directory(places, "/b").error().message, HasSubstr("XDG_STATE_HOME"));
}

TEST(StateDirectory, IsMadeForTheUserAlone) {
  const test::PrivateDirectory home;
  const std::string path = home.path() + "/.local/state/moddev/0123456789abcdef";
  ASSERT_TRUE(make_state_directory(path).ok());
  ASSERT_TRUE(make_state_directory(path).ok()) << "again is harmless";
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  ASSERT_EQ(::stat(fs::path(path).parent_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST(StateDirectory, ThatCannotBeMadeSaysWhatToDo) {
  const Status made = make_state_directory("/proc/none/moddev/0123456789abcdef");
  ASSERT_FALSE(made.ok());
  EXPECT_THAT(made.error().message, HasSubstr("XDG_STATE_HOME"));
}

TEST(FindConfiguration, LooksUpwardsFromTheDirectoryThenFromTheWorkingDirectory) {
  const test::PrivateDirectory root;
  const std::string project = root.path() + "/project";
  const std::string build = project + "/out/build";
  const std::string elsewhere = root.path() + "/elsewhere";
  fs::create_directories(build);
  fs::create_directories(elsewhere);
  Places places = some_places();
  places.here.working_directory = elsewhere;
  EXPECT_EQ(find_configuration(build, places), "");
  std::ofstream(elsewhere + "/moddev.toml") << "\n";
  EXPECT_EQ(find_configuration(build, places), elsewhere + "/moddev.toml");
  std::ofstream(project + "/moddev.toml") << "\n";
  EXPECT_EQ(find_configuration(build, places), project + "/moddev.toml");
  fs::permissions(project + "/moddev.toml", fs::perms::others_write, fs::perm_options::add);
  EXPECT_EQ(find_configuration(build, places), project + "/moddev.toml")
      << "what must not be believed is not passed over either: it may hold rules";
  EXPECT_EQ(read_configuration(project + "/moddev.toml", places.here.uid).error().code,
            ErrorCode::kPermission);
}

TEST(EndpointsToBind, TheNearestThatSaysSomethingDecides) {
  client::Surroundings here;
  here.xdg_runtime_dir = "/run/user/7";
  Configuration flags;
  Configuration file;
  EXPECT_THAT(endpoints_to_bind(flags, file, here), ElementsAre("ipc:///run/user/7/moddev/default.sock"));
  file.endpoint = "ipc:///file";
  EXPECT_THAT(endpoints_to_bind(flags, file, here), ElementsAre("ipc:///file"));
  file.bind = {{"ipc:///file-bind", "tcp://127.0.0.1:5"}};
  EXPECT_THAT(endpoints_to_bind(flags, file, here), ElementsAre("ipc:///file-bind", "tcp://127.0.0.1:5"));
  here.moddev_endpoint = "ipc:///variable";
  EXPECT_THAT(endpoints_to_bind(flags, file, here), ElementsAre("ipc:///variable"));
  flags.endpoint = "ipc:///flag";
  EXPECT_THAT(endpoints_to_bind(flags, file, here), ElementsAre("ipc:///flag"));
  flags.bind = {{"ipc:///bind"}};
  EXPECT_THAT(endpoints_to_bind(flags, file, here), ElementsAre("ipc:///bind"));
}

TEST(PatternsForOwn, KeepOurFilesOutOfTheWatchedDirectory) {
  EXPECT_THAT(patterns_for_own("/home/me", {"/home/me/.local/state/moddev", "/var/cache/moddev"}),
              ElementsAre("/.local/state/moddev/"));
  EXPECT_THAT(patterns_for_own("/", {"/var/cache/moddev"}), ElementsAre("/var/cache/moddev/"));
  EXPECT_THAT(patterns_for_own("/home/m", {"/home/me/.cache/moddev"}), IsEmpty()) << "a prefix is no parent";
  EXPECT_THAT(patterns_for_own("/a", {"/a/x[1]*"}), ElementsAre("/x\\[1]\\*/"));
}

}  // namespace
}  // namespace moddev::tools
