// Where `moddev fetch` writes: a name in a directory is not always a regular file, and what is no regular
// file is not to be replaced by one.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// A daemon with one module of one line "content".
class FetchTarget : public ::testing::Test {
 protected:
  FetchTarget() {
    Yard::write_file(yard_.build() + "/weights.bin", "content\n");
    daemon_ = std::make_unique<Process>(yard_.watch());
    daemon_->event("committed");
  }
  [[nodiscard]] std::string work(const std::string& name = {}) const {
    return yard_.path() + "/work/" + name;
  }
  static struct stat look(const std::string& path) {
    struct stat found {};
    EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path;
    return found;
  }

  Yard yard_;
  std::unique_ptr<Process> daemon_;
};

TEST_F(FetchTarget, AFifoIsWrittenInto) {
  ASSERT_EQ(::mkfifo(work("pipe").c_str(), 0600), 0);
  // Open for both, so that neither side waits for the other.
  const int reader = ::open(work("pipe").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  const Ran ran = yard_.run({"fetch", "weights", "-o", "pipe"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_TRUE(S_ISFIFO(look(work("pipe")).st_mode)) << "still a FIFO";
  std::array<char, 64> got{};
  const ssize_t count = ::read(reader, got.data(), got.size());
  ::close(reader);
  ASSERT_GT(count, 0);
  EXPECT_EQ(std::string(got.data(), static_cast<std::size_t>(count)), "content\n");
}

TEST_F(FetchTarget, ADeviceIsWrittenInto) {
  // Another node of the null device: nobody else needs this one.
  if (::mknod(work("null").c_str(), S_IFCHR | 0600, ::makedev(1, 3)) != 0)
    GTEST_SKIP() << "device nodes cannot be made here";
  const int usable = ::open(work("null").c_str(), O_WRONLY | O_CLOEXEC);
  if (usable < 0) GTEST_SKIP() << "device nodes cannot be opened here";
  ::close(usable);
  const Ran ran = yard_.run({"fetch", "weights", "-o", "null"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_TRUE(S_ISCHR(look(work("null")).st_mode)) << "still a device";
}

TEST_F(FetchTarget, WhatALinkLeadsToIsReplacedAndTheLinkStays) {
  std::filesystem::create_directory(work("elsewhere"));
  Yard::write_file(work("elsewhere/file"), "before");
  std::filesystem::create_symlink("elsewhere/middle", work("link"));
  std::filesystem::create_symlink("file", work("elsewhere/middle"));
  const ino_t before = look(work("elsewhere/file")).st_ino;
  EXPECT_EQ(yard_.run({"fetch", "weights", "-o", "link"}).exit_code, 0);
  EXPECT_TRUE(S_ISLNK(look(work("link")).st_mode));
  EXPECT_TRUE(S_ISLNK(look(work("elsewhere/middle")).st_mode));
  EXPECT_EQ(Yard::read_file(work("elsewhere/file")), "content\n");
  EXPECT_NE(look(work("elsewhere/file")).st_ino, before) << "replaced in one step, not written into";

  std::filesystem::create_symlink(work("elsewhere/new"), work("to-nothing"));
  EXPECT_EQ(yard_.run({"fetch", "weights", "-o", "to-nothing"}).exit_code, 0);
  EXPECT_TRUE(S_ISLNK(look(work("to-nothing")).st_mode));
  EXPECT_EQ(Yard::read_file(work("elsewhere/new")), "content\n");

  std::filesystem::create_symlink("circle", work("circle"));
  const Ran circle = yard_.run({"fetch", "weights", "-o", "circle"});
  EXPECT_EQ(circle.exit_code, 1);
  EXPECT_THAT(circle.err, AllOf(HasSubstr("circle"), HasSubstr("symbolic links")));
}

TEST_F(FetchTarget, AFileThatWasThereKeepsItsMode) {
  Yard::write_file(work("mine"), "before");
  ASSERT_EQ(::chmod(work("mine").c_str(), 0640), 0);
  EXPECT_EQ(yard_.run({"fetch", "weights", "-o", "mine"}).exit_code, 0);
  EXPECT_EQ(Yard::read_file(work("mine")), "content\n");
  EXPECT_EQ(look(work("mine")).st_mode & 07777, 0640);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  EXPECT_EQ(yard_.run({"fetch", "weights", "-o", "new"}).exit_code, 0);
  EXPECT_EQ(look(work("new")).st_mode & 07777, 0666 & ~mask);
}

TEST_F(FetchTarget, TheLongestNamesWork) {
  const std::string longest(255, 'n');
  for (int time = 0; time < 2; ++time) {
    const Ran ran = yard_.run({"fetch", "weights", "-o", longest});
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
  }
  EXPECT_EQ(Yard::read_file(work(longest)), "content\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(work()), {}), 1) << "nothing is left behind";
}

TEST_F(FetchTarget, ADirectoryAndAPlaceThatIsNotThereAreNamed) {
  std::filesystem::create_directory(work("directory"));
  const Ran directory = yard_.run({"fetch", "weights", "-o", "directory"});
  EXPECT_EQ(directory.exit_code, 1);
  EXPECT_THAT(directory.err, AllOf(HasSubstr("directory"), HasSubstr("Is a directory")));
  const Ran nowhere = yard_.run({"fetch", "weights", "-o", "nowhere/file"});
  EXPECT_EQ(nowhere.exit_code, 1);
  EXPECT_THAT(nowhere.err, AllOf(HasSubstr("nowhere/file"), HasSubstr("No such file")));
}

TEST_F(FetchTarget, WithoutOutputNothingThatIsThereIsTouched) {
  ASSERT_EQ(::mkfifo(work("weights.bin").c_str(), 0600), 0);
  const Ran fifo = yard_.run({"fetch", "weights"});
  EXPECT_EQ(fifo.exit_code, 1);
  EXPECT_THAT(fifo.err, HasSubstr("weights.bin is there already"));
  EXPECT_TRUE(S_ISFIFO(look(work("weights.bin")).st_mode));
  std::filesystem::remove(work("weights.bin"));
  std::filesystem::create_symlink(work("outside"), work("weights.bin"));
  EXPECT_EQ(yard_.run({"fetch", "weights"}).exit_code, 1);
  EXPECT_FALSE(std::filesystem::exists(work("outside"))) << "nor is written through a link that was there";
}

TEST_F(FetchTarget, AWholeEpochDoesNotGoToStandardOutput) {
  const Ran ran = yard_.run({"fetch", "--epoch", "1", "-o", "-"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.out, IsEmpty());
  EXPECT_THAT(ran.err, AllOf(HasSubstr("-o"), HasSubstr("directory"), Not(HasSubstr("Cannot write"))));
  EXPECT_FALSE(std::filesystem::exists(work("-")));
  const Ran one = yard_.run({"fetch", "weights", "--epoch", "1", "-o", "-"});
  EXPECT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(one.out, "content\n") << "one module of an epoch does";
  EXPECT_EQ(yard_.run({"fetch", "weights", "-o", "/dev/stdout"}).out, "content\n") << "by every name of it";
}

/// From another machine fewer bytes are worth the work of unpacking them.
TEST(FetchOverTcp, ALargeModuleComesCompressed) {
  Yard yard;
  std::string large;
  for (int i = 0; large.size() < 3'500'000; ++i) large += "weight " + std::to_string(i) + "\n";
  Yard::write_file(yard.build() + "/weights.bin", large);
  Process daemon = yard.start({"watch", yard.build(), "--json", "--bind", "tcp://127.0.0.1:*"});
  const std::string endpoint = daemon.event("listening")["endpoint"];
  daemon.event("committed");
  const Ran ran = yard.run({"fetch", "weights", "-o", "copy", "--endpoint", endpoint});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(Yard::read_file(yard.path() + "/work/copy"), large);
  const Json sent = Json::parse(yard.run({"status", "--json", "--endpoint", endpoint}).out)["transfers"];
  EXPECT_GT(sent["zstd_bytes"], 0) << sent;
  EXPECT_EQ(sent["plain_bytes"], 0) << sent;
}

}  // namespace
}  // namespace moddev::e2e
