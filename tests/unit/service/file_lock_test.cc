#include "daemon/file_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>

#include "daemon/limits.h"
#include "protocol/descriptor.h"

namespace moddev::daemon {
namespace {

class FileLock : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "moddev-lock-XXXXXX";
    first.reset(::mkstemp(name.data()));
    second.reset(::open(name.c_str(), O_RDWR | O_CLOEXEC));
    ::unlink(name.c_str());
    ASSERT_TRUE(first && second);
  }
  Descriptor first;
  Descriptor second;  // of another open, as another process has it
};

TEST_F(FileLock, IsTakenAtOnceWhenFree) {
  EXPECT_TRUE(lock_file(first.get()));
}

TEST_F(FileLock, WaitsForOneThatIsGoing) {
  ASSERT_TRUE(lock_file(first.get()));
  std::thread going([this] {
    std::this_thread::sleep_for(limits::kHandover / 20);  // what is tested: the time that going takes
    first.reset();
  });
  EXPECT_TRUE(lock_file(second.get()));
  going.join();
}

TEST_F(FileLock, IsRefusedWhenSomebodyKeepsIt) {
  ASSERT_TRUE(lock_file(first.get()));
  EXPECT_FALSE(lock_file(second.get()));
  EXPECT_EQ(errno, EWOULDBLOCK);
}

TEST_F(FileLock, AWrongDescriptorIsToldAtOnce) {
  EXPECT_FALSE(lock_file(-1));
  EXPECT_EQ(errno, EBADF);
}

}  // namespace
}  // namespace moddev::daemon
