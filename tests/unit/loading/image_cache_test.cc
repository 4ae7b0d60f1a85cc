#include "client/src/image_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class ImageCacheTest : public ::testing::Test {
 protected:
  ImageCache open() {
    auto cache = ImageCache::open(directory_);
    MODDEV_ASSERT(cache.ok(), cache.error().message);
    return *std::move(cache);
  }
  static std::uint64_t inode(const fs::path& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
  }
  std::size_t files() const {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      if (entry.path().filename() != ".in-use") ++count;
    }
    return count;
  }
  /// Makes an image that is locked by nobody.
  std::string leave(const std::string& name, const std::string& content, long used_at) {
    const std::string path = open().path_of(name, "00");
    const SharedBytes bytes = share(content);
    EXPECT_TRUE(open().put(path, PatchedImage(*bytes)).ok());
    const timespec times[2] = {{used_at, 0}, {used_at, 0}};
    ::utimensat(AT_FDCWD, path.c_str(), times, 0);
    return path;
  }

  testing::Workshop workshop_;
  const fs::path directory_ = workshop_.directory() / "private" / "images";
  const SharedBytes content_ = share("0123456789abcdef");
};

TEST_F(ImageCacheTest, MakesAPrivateDirectoryWithEverythingAboveThatIsMissing) {
  const ImageCache cache = open();
  EXPECT_EQ(fs::status(directory_).permissions(), fs::perms::owner_all);
  EXPECT_EQ(fs::status(directory_.parent_path()).permissions(), fs::perms::owner_all);
}

TEST_F(ImageCacheTest, RefusesADirectoryThatOthersMayWriteTo) {
  fs::create_directories(directory_);
  fs::permissions(directory_, fs::perms::all);
  const auto cache = ImageCache::open(directory_);
  ASSERT_FALSE(cache.ok());
  EXPECT_EQ(cache.error().code, ErrorCode::kPermission);
  EXPECT_THAT(cache.error().message, HasSubstr("other users may write there"));
}

TEST_F(ImageCacheTest, RefusesAFileInPlaceOfTheDirectory) {
  fs::create_directories(directory_.parent_path());
  testing::write_file(directory_, *content_);
  EXPECT_FALSE(ImageCache::open(directory_).ok());
}

TEST_F(ImageCacheTest, NamesAreReadableAndHarmless) {
  const ImageCache cache = open();
  const std::string prefix = fs::canonical(directory_).string() + "/";
  EXPECT_EQ(cache.path_of("libscorer.so", "12ab"), prefix + "libscorer.12ab.so");
  EXPECT_EQ(cache.path_of("libscorer.so.1.2", "12ab"), prefix + "libscorer.12ab.so");
  EXPECT_EQ(cache.path_of("../a b\n", "12ab"), prefix + "_.._a_b_.12ab.so");
  EXPECT_EQ(cache.path_of("", "12ab"), prefix + "_.12ab.so");
  EXPECT_LT(fs::path(cache.path_of(std::string(4000, 'x'), "12ab")).filename().string().size(), 255U);
}

TEST_F(ImageCacheTest, WritesAnImageOnceAndKeepsItAsLongAsItsBytesAreRight) {
  const ImageCache cache = open();
  const std::string path = cache.path_of("liba.so", "00");
  PatchedImage image(*content_);
  image.patch(3, as_bytes("XY"));
  image.append(Bytes(5, std::byte{'t'}));
  ASSERT_TRUE(cache.put(path, image).ok());
  EXPECT_EQ(as_text(*testing::read_file(path)), "012XY56789abcdefttttt");
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_exec);
  const std::uint64_t first = inode(path);
  ASSERT_TRUE(cache.put(path, image).ok());
  EXPECT_EQ(inode(path), first);
  EXPECT_EQ(files(), 1U);
}

TEST_F(ImageCacheTest, ReplacesWrongBytesByANewFileSoThatWhoMappedTheOldOneKeepsIt) {
  const ImageCache cache = open();
  const std::string path = cache.path_of("liba.so", "00");
  for (const std::string wrong : {"0123456789abcdeX", "0123", "0123456789abcdef and more", ""}) {
    SCOPED_TRACE(wrong);
    fs::remove(path);
    testing::write_file(path, as_bytes(wrong));
    const int user = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_TRUE(cache.put(path, PatchedImage(*content_)).ok());
    EXPECT_EQ(*testing::read_file(path), *content_);
    std::string kept(100, '\0');
    kept.resize(static_cast<std::size_t>(::pread(user, kept.data(), kept.size(), 0)));
    EXPECT_EQ(kept, wrong);
    ::close(user);
  }
  fs::remove(path);
  fs::create_symlink("/etc/passwd", path);
  ASSERT_TRUE(cache.put(path, PatchedImage(*content_)).ok());
  EXPECT_FALSE(fs::is_symlink(path));
}

TEST_F(ImageCacheTest, AFullDiskIsToldAndLeavesNothing) {
  const ImageCache cache = open();
  const std::string path = cache.path_of("liba.so", "00");
  rlimit former{};
  ::getrlimit(RLIMIT_FSIZE, &former);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{4, former.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tight);
  const Status written = cache.put(path, PatchedImage(*content_));
  ::setrlimit(RLIMIT_FSIZE, &former);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().sys_errno, EFBIG);
  EXPECT_THAT(written.error().message, HasSubstr(path));
  EXPECT_EQ(files(), 0U);
}

TEST_F(ImageCacheTest, TheLastUserDeletesAnImage) {
  ImageCache one = open();
  ImageCache other = open();  // as another process: locks are of the opened file
  const std::string path = one.path_of("liba.so", "00");
  ASSERT_TRUE(one.lock(path).ok());
  ASSERT_TRUE(other.lock(path).ok());
  ASSERT_TRUE(one.put(path, PatchedImage(*content_)).ok());
  one.release(path);
  EXPECT_TRUE(fs::exists(path));
  other.release(path);
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(ImageCacheTest, CollectingTakesTheLeastRecentlyUsedFirst) {
  const std::string old = leave("old", std::string(1000, 'o'), 1000);
  const std::string older = leave("older", std::string(1000, 'p'), 500);
  const std::string young = leave("young", std::string(1000, 'y'), 2000);
  const auto collected = collect_images(directory_, 2000);
  ASSERT_TRUE(collected.ok());
  EXPECT_EQ(collected->removed, 1U);
  EXPECT_EQ(collected->removed_bytes, 1000U);
  EXPECT_EQ(collected->kept_bytes, 2000U);
  EXPECT_FALSE(fs::exists(older));
  EXPECT_TRUE(fs::exists(old));
  EXPECT_TRUE(fs::exists(young));
}

TEST_F(ImageCacheTest, CollectingNeverTakesWhatALiveProcessUses) {
  const std::string used = leave("used", "used by a child", 1);
  const std::string unused = leave("unused", "used by nobody", 2);
  int ready[2];
  int end[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(end, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ImageCache cache = open();
    const char state = cache.lock(used).ok() ? 'y' : 'n';
    char ignored = 0;
    ::close(end[1]);
    [[maybe_unused]] ssize_t n = ::write(ready[1], &state, 1);
    n = ::read(end[0], &ignored, 1);  // until the parent closes its end
    ::_exit(0);
  }
  char state = 'n';
  ASSERT_EQ(::read(ready[0], &state, 1), 1);
  ASSERT_EQ(state, 'y');
  auto collected = collect_images(directory_, 0);
  ASSERT_TRUE(collected.ok());
  EXPECT_EQ(collected->in_use, 1U);
  EXPECT_EQ(collected->removed, 1U);
  EXPECT_TRUE(fs::exists(used));
  EXPECT_FALSE(fs::exists(unused));

  ::close(end[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  collected = collect_images(directory_, 0);
  ASSERT_TRUE(collected.ok());
  EXPECT_EQ(collected->removed, 1U);
  EXPECT_FALSE(fs::exists(used));
  for (const int descriptor : {ready[0], ready[1], end[0]}) ::close(descriptor);
}

TEST_F(ImageCacheTest, WaitsForAProcessThatIsDeletingTheImage) {
  ImageCache cache = open();
  const std::string path = leave("liba.so", "content", 1);
  // The same lock that collect_images() takes, held a little longer.
  const int locks = ::open((directory_ / ".in-use").c_str(), O_RDWR | O_CLOEXEC);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  ASSERT_EQ(::fcntl(locks, F_OFD_SETLK, &lock), 0);
  std::thread deleting([&] {
    ::usleep(20'000);
    ::close(locks);
  });
  EXPECT_TRUE(cache.lock(path).ok());
  deleting.join();
}

TEST_F(ImageCacheTest, TwoProcessesThatLoadAndCollectAtOnceNeverLoseAnImage) {
  const pid_t collector = ::fork();
  if (collector == 0) {
    for (;;) (void)collect_images(directory_, 0);
  }
  ImageCache cache = open();
  for (int i = 0; i < 500; ++i) {
    const std::string path = cache.path_of("liba.so", std::to_string(i % 3));
    ASSERT_TRUE(cache.lock(path).ok());
    ASSERT_TRUE(cache.put(path, PatchedImage(*content_)).ok());
    ASSERT_TRUE(fs::exists(path));
    cache.release(path);
  }
  ::kill(collector, SIGKILL);
  int status = 0;
  ::waitpid(collector, &status, 0);
}

TEST_F(ImageCacheTest, TheDefaultIsADirectoryOfTheUserInMemoryWhereThereIsOne) {
  const fs::path runtime = workshop_.directory() / "run";
  fs::create_directory(runtime);
  ::setenv("XDG_RUNTIME_DIR", runtime.c_str(), 1);
  ::setenv("XDG_CACHE_HOME", "/cache", 1);
  EXPECT_EQ(default_image_directory(), runtime / "moddev" / "images");
  ::unsetenv("XDG_RUNTIME_DIR");
  EXPECT_EQ(default_image_directory(), "/cache/moddev/images");
  ::unsetenv("XDG_CACHE_HOME");
  ::setenv("HOME", "/home/someone", 1);
  EXPECT_EQ(default_image_directory(), "/home/someone/.cache/moddev/images");
  ::unsetenv("HOME");
  EXPECT_THAT(default_image_directory().string(), HasSubstr("/tmp/moddev-"));
}

}  // namespace
}  // namespace moddev
