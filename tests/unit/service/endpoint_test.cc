#include "protocol/endpoint.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace moddev {
namespace {

TEST(Endpoint, TextAndBack) {
  for (const std::string text : {"ipc:///run/user/1000/moddev/default.sock", "tcp://127.0.0.1:5555",
                                 "tcp://[::1]:1", "tcp://*:*", "tcp://build-host.example:65535"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(endpoint->to_string(), text);
  }
}

TEST(Endpoint, RefusesWhatCannotBe) {
  const std::string too_long = "ipc:///" + std::string(101, 'x');
  for (const std::string& text :
       {std::string(), std::string("default.sock"), std::string("ipc://"), std::string("ipc://@abstract"),
        std::string("ipc://relative.sock"), std::string("ipc:///directory/"), std::string("ipc:///a\nb"),
        too_long, std::string("tcp://host"), std::string("tcp://:5"), std::string("tcp://host:0"),
        std::string("tcp://host:65536"), std::string("tcp://host:12x"), std::string("tcp://ho st:1"),
        std::string("tcp://[nonsense]:1"), std::string("udp://host:1")}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_FALSE(endpoint) << text;
    EXPECT_EQ(endpoint.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(endpoint.error().message.find("ipc:///absolute/path"), std::string::npos)
        << endpoint.error().message;
  }
}

TEST(Endpoint, LongestPathLeavesRoomForTheEvents) {
  EXPECT_TRUE(parse_endpoint("ipc:///" + std::string(99, 'x')));
  EXPECT_FALSE(parse_endpoint("ipc:///" + std::string(100, 'x')));
}

TEST(Endpoint, KnowsWhatOtherMachinesReach) {
  for (const char* text :
       {"ipc:///x", "tcp://127.0.0.1:1", "tcp://127.8.9.1:1", "tcp://[::1]:1", "tcp://localhost:1"}) {
    EXPECT_TRUE(parse_endpoint(text)->is_local()) << text;
  }
  for (const char* text :
       {"tcp://*:1", "tcp://0.0.0.0:1", "tcp://10.0.0.1:1", "tcp://[::]:1", "tcp://127.evil.org:1"}) {
    EXPECT_FALSE(parse_endpoint(text)->is_local()) << text;
  }
}

TEST(Endpoint, DefaultIsInTheRuntimeDirectoryElseInTmp) {
  EXPECT_EQ(default_endpoint("/run/user/7", 7), "ipc:///run/user/7/moddev/default.sock");
  EXPECT_EQ(default_endpoint("/run/user/7/", 7), "ipc:///run/user/7/moddev/default.sock");
  EXPECT_EQ(default_endpoint(nullptr, 7), "ipc:///tmp/moddev-7/default.sock");
  EXPECT_EQ(default_endpoint("", 7), "ipc:///tmp/moddev-7/default.sock");
  EXPECT_EQ(default_endpoint("relative", 7), "ipc:///tmp/moddev-7/default.sock");
}

class PrivateDirectory : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "moddev-private-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string root_;
};

TEST_F(PrivateDirectory, IsMadeWithMode0700AndAcceptedAgain) {
  const std::string path = root_ + "/new";
  EXPECT_EQ(check_private_directory(path, ::geteuid()).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(ensure_private_directory(path, ::geteuid()));
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  EXPECT_TRUE(ensure_private_directory(path, ::geteuid()));
}

TEST_F(PrivateDirectory, RefusesWhatOthersCouldFill) {
  ASSERT_EQ(::chmod(root_.c_str(), 0777), 0);
  EXPECT_EQ(ensure_private_directory(root_, ::geteuid()).error().code, ErrorCode::kPermission);
  ASSERT_EQ(::chmod(root_.c_str(), 0720), 0);
  EXPECT_EQ(ensure_private_directory(root_, ::geteuid()).error().code, ErrorCode::kPermission);
  ASSERT_EQ(::chmod(root_.c_str(), 0755), 0);
  EXPECT_TRUE(ensure_private_directory(root_, ::geteuid()));
}

TEST_F(PrivateDirectory, RefusesAnotherUsersAndSymlinksAndFiles) {
  EXPECT_EQ(check_private_directory(root_, ::geteuid() + 1).error().code, ErrorCode::kPermission);
  const std::string link = root_ + "/link";
  ASSERT_EQ(::symlink(root_.c_str(), link.c_str()), 0);
  EXPECT_EQ(ensure_private_directory(link, ::geteuid()).error().code, ErrorCode::kPermission);
  EXPECT_EQ(ensure_private_directory(root_ + "/no/parent", ::geteuid()).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace moddev
