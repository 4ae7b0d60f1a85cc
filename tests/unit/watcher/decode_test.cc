// The pure parts: what inotify's bytes mean, which paths are ignored, what is finished, what is whole, and
// the bookkeeping of the tree.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>

#include <cstring>

#include "protocol/bytes.h"
#include "watcher/completeness.h"
#include "watcher/finished_proof.h"
#include "watcher/fsevents_decode.h"
#include "watcher/ignore_rules.h"
#include "watcher/inotify_decode.h"
#include "watcher/inotify_source.h"
#include "watcher/posix_file_system.h"
#include "watcher/tree.h"

namespace moddev::watcher {
namespace {

using Kind = WatchEvent::Kind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// ------------------------------------------------------------------------------------------ inotify_decode

std::vector<std::byte> record(int watch, std::uint32_t mask, std::uint32_t cookie, const std::string& name) {
  inotify_event head{};
  head.wd = watch;
  head.mask = mask;
  head.cookie = cookie;
  // The kernel pads names with NULs to a multiple of the header's size.
  head.len = name.empty() ? 0 : static_cast<std::uint32_t>((name.size() / sizeof head + 1) * sizeof head);
  std::vector<std::byte> bytes(sizeof head + head.len);
  std::memcpy(bytes.data(), &head, sizeof head);
  std::memcpy(bytes.data() + sizeof head, name.data(), name.size());
  return bytes;
}

InotifyDecoded decode(const std::vector<std::vector<std::byte>>& records) {
  std::vector<std::byte> bytes;
  for (const auto& one : records) bytes.insert(bytes.end(), one.begin(), one.end());
  static const std::string root;
  static const std::string sub = "sub";
  static const std::string outside = "/out";
  const auto directory_of = [](int watch) -> const std::string* {
    return watch == 1 ? &root : watch == 2 ? &sub : watch == 3 ? &outside : nullptr;
  };
  return decode_inotify(parse_inotify(bytes), directory_of);
}

struct DecodeCase {
  const char* what;
  int watch;
  std::uint32_t mask;
  const char* name;
  std::vector<WatchEvent> events;
};

TEST(InotifyDecode, EachMaskMeansWhatItMeans) {
  const DecodeCase cases[] = {
      {"a new file", 1, IN_CREATE, "a", {{Kind::kWritten, "a", {}}}},
      {"written", 2, IN_MODIFY, "a", {{Kind::kWritten, "sub/a", {}}}},
      {"closed", 2, IN_CLOSE_WRITE, "a", {{Kind::kClosedWrite, "sub/a", {}}}},
      {"chmod", 1, IN_ATTRIB, "a", {{Kind::kAttributes, "a", {}}}},
      {"deleted", 1, IN_DELETE, "a", {{Kind::kRemoved, "a", {}}}},
      {"moved in", 1, IN_MOVED_TO, "a", {{Kind::kChanged, "a", {}}}},
      {"moved out", 1, IN_MOVED_FROM, "a", {{Kind::kRemoved, "a", {}}}},
      {"a new directory", 1, IN_CREATE | IN_ISDIR, "d", {{Kind::kDirectory, "d", {}}}},
      {"directory moved in", 2, IN_MOVED_TO | IN_ISDIR, "d", {{Kind::kDirectory, "sub/d", {}}}},
      {"directory moved out", 1, IN_MOVED_FROM | IN_ISDIR, "d", {{Kind::kRemoved, "d", {}}}},
      {"directory deleted", 1, IN_DELETE | IN_ISDIR, "d", {{Kind::kRemoved, "d", {}}}},
      {"directory chmod", 1, IN_ATTRIB | IN_ISDIR, "d", {{Kind::kDirectory, "d", {}}}},
      {"the root deleted", 1, IN_DELETE_SELF, "", {{Kind::kRootGone, {}, {}}}},
      {"the root moved", 1, IN_MOVE_SELF, "", {{Kind::kRootGone, {}, {}}}},
      {"the root unmounted", 1, IN_UNMOUNT, "", {{Kind::kRootGone, {}, {}}}},
      {"the root chmod", 1, IN_ATTRIB | IN_ISDIR, "", {{Kind::kDirectory, {}, {}}}},
      {"a directory deleted: its parent tells", 2, IN_DELETE_SELF, "", {}},
      {"a directory outside deleted: nobody else tells",
       3,
       IN_DELETE_SELF,
       "",
       {{Kind::kRemoved, "/out", {}}}},
      {"outside", 3, IN_CLOSE_WRITE, "a", {{Kind::kClosedWrite, "/out/a", {}}}},
      {"an unknown watch", 9, IN_CREATE, "a", {}},
      {"overflow", -1, IN_Q_OVERFLOW, "", {{Kind::kOverflow, {}, {}}}},
  };
  for (const DecodeCase& c : cases) {
    EXPECT_EQ(decode({record(c.watch, c.mask, 0, c.name)}).events, c.events) << c.what;
  }
}

TEST(InotifyDecode, BothHalvesOfARenameMakeItCertain) {
  const auto decoded = decode({record(1, IN_MOVED_FROM, 7, "a"), record(2, IN_MOVED_TO, 7, "b")});
  EXPECT_THAT(decoded.events, ElementsAre(WatchEvent{Kind::kRenamedAway, "a", "sub/b"},
                                          WatchEvent{Kind::kChanged, "sub/b", {}}));
}

TEST(InotifyDecode, ADirectoryThatIsRenamedInsideIsAwayForCertain) {
  const auto inside =
      decode({record(1, IN_MOVED_FROM | IN_ISDIR, 7, "a"), record(2, IN_MOVED_TO | IN_ISDIR, 7, "b")});
  EXPECT_THAT(inside.events, ElementsAre(WatchEvent{Kind::kRenamedAway, "a", "sub/b"},
                                         WatchEvent{Kind::kDirectory, "sub/b", {}}));
  const auto out = decode({record(1, IN_MOVED_FROM | IN_ISDIR, 7, "a")});
  EXPECT_THAT(out.events, ElementsAre(WatchEvent{Kind::kRemoved, "a", {}}));
}

TEST(InotifyDecode, HalvesOfDifferentRenamesAreNoPair) {
  const auto decoded = decode({record(1, IN_MOVED_FROM, 7, "a"), record(2, IN_MOVED_TO, 8, "b")});
  EXPECT_THAT(decoded.events,
              ElementsAre(WatchEvent{Kind::kRemoved, "a", {}}, WatchEvent{Kind::kChanged, "sub/b", {}}));
}

TEST(InotifyDecode, IdenticalNeighboursAreOne) {
  const auto decoded = decode({record(1, IN_MODIFY, 0, "a"), record(1, IN_MODIFY, 0, "a"),
                               record(1, IN_CLOSE_WRITE, 0, "a"), record(1, IN_MODIFY, 0, "a")});
  EXPECT_THAT(decoded.events, SizeIs(3));
}

TEST(InotifyDecode, AnEndedWatchIsReported) {
  EXPECT_THAT(decode({record(2, IN_IGNORED, 0, "")}).ended, ElementsAre(2));
}

TEST(InotifyDecode, ACutOffRecordEndsTheList) {
  auto bytes = record(1, IN_CREATE, 0, "name");
  const auto whole = bytes;
  bytes.insert(bytes.end(), whole.begin(), whole.end() - 1);
  EXPECT_THAT(parse_inotify(bytes), SizeIs(1));
  EXPECT_THAT(parse_inotify(std::span(bytes).first(5)), IsEmpty());
}

TEST(InotifyLimits, TheAdviceNamesTheSysctlItsValueTheNeedAndTheCommand) {
  const std::string advice = inotify_limit_advice("max_user_watches", 8192, 10'101);
  EXPECT_THAT(advice, HasSubstr("fs.inotify.max_user_watches = 8192"));
  EXPECT_THAT(advice, HasSubstr("10101"));
  EXPECT_THAT(advice, HasSubstr("sudo sysctl -w fs.inotify.max_user_watches=16384"));
  EXPECT_GT(inotify_limit("max_user_watches"), 0U);
  EXPECT_EQ(inotify_limit("no_such_limit"), 0U);
}

// ----------------------------------------------------------------------------------------- fsevents_decode

TEST(FsEventsDecode, FlagsAreHintsAndLossesAreLosses) {
  using namespace fsevents;
  struct Case {
    const char* what;
    const char* path;
    std::uint32_t flags;
    std::vector<WatchEvent> events;
  };
  const Case cases[] = {
      {"written", "/w/a", kItemIsFile | kItemModified, {{Kind::kChanged, "a", {}}}},
      {"cumulative: nobody knows which came last",
       "/w/a",
       kItemIsFile | kItemCreated | kItemRemoved | kItemRenamed,
       {{Kind::kChanged, "a", {}}}},
      {"removed is a hint, too", "/w/d/a", kItemIsFile | kItemRemoved, {{Kind::kChanged, "d/a", {}}}},
      {"attributes only",
       "/w/a",
       kItemIsFile | kItemXattrMod | kItemInodeMetaMod,
       {{Kind::kAttributes, "a", {}}}},
      {"attributes and content",
       "/w/a",
       kItemIsFile | kItemXattrMod | kItemModified,
       {{Kind::kChanged, "a", {}}}},
      {"a symlink", "/w/l", kItemIsSymlink | kItemCreated, {{Kind::kChanged, "l", {}}}},
      {"a directory came or went", "/w/d/", kItemIsDir | kItemRemoved, {{Kind::kDirectory, "d", {}}}},
      {"coalesced below a directory", "/w/d", kMustScanSubDirs, {{Kind::kDirectory, "d", {}}}},
      {"dropped in user space", "/w", kMustScanSubDirs | kUserDropped, {{Kind::kOverflow, {}, {}}}},
      {"dropped in the kernel", "/w", kMustScanSubDirs | kKernelDropped, {{Kind::kOverflow, {}, {}}}},
      {"ids wrapped", "/w", kEventIdsWrapped, {{Kind::kOverflow, {}, {}}}},
      {"the root moved", "/w", kRootChanged, {{Kind::kRootGone, {}, {}}}},
      {"history", "/w", kHistoryDone, {}},
      {"a mount below", "/w/m", kMount, {{Kind::kDirectory, "m", {}}}},
      {"a neighbour", "/wall/a", kItemIsFile | kItemModified, {}},
      {"flags from the future", "/w/a", 0x80000000U, {{Kind::kChanged, "a", {}}}},
  };
  for (const Case& c : cases)
    EXPECT_EQ(decode_fsevents(std::vector<FsEventsRecord>{{c.path, c.flags}}, "/w"), c.events) << c.what;
}

// -------------------------------------------------------------------------------------------- ignore_rules

TEST(IgnoreRules, DefaultsKnowBuildDirectoriesAndEditors) {
  const IgnoreRules rules({});
  for (const char* path : {"x.o",
                           "deep/y.obj",
                           "libz.a",
                           "build.ninja",
                           ".ninja_log",
                           "CMakeCache.txt",
                           "a.txt~",
                           ".a.txt.swp",
                           ".#a.txt",
                           "#a.txt#",
                           "4913",
                           ".mold-aB3dE",
                           "libx.so.tmp1a2b3c4",
                           "CMakeCache.txt.tmp4b381",
                           ".libx.so.aB3dE9",
                           "stAb3cX9",
                           "sedQ1w2e3",
                           "__pycache__/",
                           ".git",
                           ".moddev-cookie-s1",
                           "cc.ltrans0.ltrans.o"}) {
    const bool directory = std::string_view(path).ends_with('/');
    EXPECT_TRUE(
        rules.ignored(directory ? std::string(path).substr(0, std::strlen(path) - 1) : path, directory))
        << path;
  }
  for (const char* path :
       {"libx.so", "libx.so.1.2", "strategy", "standard", "a.txt", "mod.py", "model.bin", "odd.name.abcdef",
        "sedation", "x.tmpl", "ofile", "data.json", "stats.csv", "CMakeFiles.txt"}) {
    EXPECT_FALSE(rules.ignored(path, false)) << path;
  }
  EXPECT_TRUE(rules.ignored("sub/CMakeFiles", true));
  EXPECT_FALSE(rules.ignored("CMakeFiles", false));  // only directories
  EXPECT_TRUE(rules.ignored_on_the_way("CMakeFiles/3.25/x.txt"));
  EXPECT_FALSE(rules.ignored_on_the_way("src/x.txt"));
}

struct GlobCase {
  const char* glob;
  const char* text;
  bool matches;
};

TEST(IgnoreRules, GlobsAreGitignores) {
  const GlobCase cases[] = {
      {"a", "a", true},
      {"a", "b", false},
      {"*", "abc", true},
      {"*", "", true},
      {"*", "a/b", false},
      {"*.c", "x.c", true},
      {"*.c", "x.cc", false},
      {"a*b*c", "aXbYbZc", true},
      {"a*b", "a/b", false},
      {"?", "a", true},
      {"?", "/", false},
      {"[a-c]", "b", true},
      {"[a-c]", "d", false},
      {"[!a-c]", "d", true},
      {"[!a]", "/", false},
      {"[]]", "]", true},
      {"[a", "[a", true},
      {"\\*", "*", true},
      {"\\*", "a", false},
      {"**/x", "x", true},
      {"**/x", "a/x", true},
      {"**/x", "a/b/x", true},
      {"**/x", "ax", false},
      {"a/**", "a/b", true},
      {"a/**", "a/b/c", true},
      {"a/**/b", "a/b", true},
      {"a/**/b", "a/x/y/b", true},
      {"a/**/b", "a/xb", false},
      {"a/**/b/*.c", "a/x/b/y.c", true},
      {"a/*/c", "a/b/c", true},
      {"a/*/c", "a/b/d/c", false},
      {"**", "a/b/c", true},
      {"", "", true},
      {"", "a", false},
      {"*a", "aaa", true},
      {"x**y", "xAy", true},
  };
  for (const GlobCase& c : cases)
    EXPECT_EQ(glob_matches(c.glob, c.text), c.matches) << c.glob << " on " << c.text;
}

TEST(IgnoreRules, TheLastPatternThatMatchesDecides) {
  const std::vector<std::string> patterns = {"# a comment", "",           "*.txt", "!keep.txt", "/top.bin",
                                             "out/",        "data/*.csv", "!*.o",  "trailing  "};
  const IgnoreRules rules(patterns);
  EXPECT_TRUE(rules.ignored("a/b.txt", false));
  EXPECT_FALSE(rules.ignored("a/keep.txt", false));
  EXPECT_TRUE(rules.ignored("top.bin", false));
  EXPECT_FALSE(rules.ignored("sub/top.bin", false));
  EXPECT_TRUE(rules.ignored("sub/out", true));
  EXPECT_FALSE(rules.ignored("sub/out", false));
  EXPECT_TRUE(rules.ignored("data/x.csv", false));
  EXPECT_FALSE(rules.ignored("sub/data/x.csv", false));
  EXPECT_FALSE(rules.ignored("x.o", false));  // a default taken back
  EXPECT_TRUE(rules.ignored("trailing", false));
}

// ------------------------------------------------------------------------------------------ finished_proof

Look good_look(LeaseState lease) {
  Look look;
  look.lease = look.lease_after = lease;
  look.before.type = FileType::kRegular;
  look.before.device = 1;
  look.before.inode = 2;
  look.before.size = 10;
  look.before.mtime_ns = look.before.ctime_ns = 3;
  look.after = look.before;
  look.path_after = look.before;
  look.bytes = 10;
  look.digest.bytes[0] = 1;
  return look;
}

TEST(FinishedProof, ALeaseThatHeldIsConclusive) {
  EXPECT_EQ(judge(good_look(LeaseState::kHeld), {}), Verdict::kFinished);
}

TEST(FinishedProof, ModesAndNamesMayChangeUnderALeaseTimesMayNot) {
  Look look = good_look(LeaseState::kHeld);
  look.after.ctime_ns = 4;
  look.after.links = 2;
  EXPECT_EQ(judge(look, {}), Verdict::kFinished);
  look.after.mtime_ns = 4;
  EXPECT_EQ(judge(look, {}), Verdict::kRestless);
}

TEST(FinishedProof, WritersBrokenLeasesAndReplacedPathsAreNotFinished) {
  Look look = good_look(LeaseState::kHeld);
  look.lease_after = LeaseState::kBroken;
  EXPECT_EQ(judge(look, {}), Verdict::kWriting);
  look = good_look(LeaseState::kWriters);
  EXPECT_EQ(judge(look, {}), Verdict::kWriting);
  look = good_look(LeaseState::kHeld);
  look.path_after->inode = 9;
  EXPECT_EQ(judge(look, {}), Verdict::kRestless);
  look.path_after.reset();
  EXPECT_EQ(judge(look, {}), Verdict::kRestless);
  look = good_look(LeaseState::kHeld);
  look.bytes = 9;
  EXPECT_EQ(judge(look, {}), Verdict::kRestless);
}

TEST(FinishedProof, EmptyAndTornFilesWait) {
  Look look = good_look(LeaseState::kHeld);
  look.incomplete = "cut off";
  EXPECT_EQ(judge(look, {}), Verdict::kTorn);
  look = good_look(LeaseState::kHeld);
  look.before.size = look.after.size = look.bytes = 0;
  EXPECT_EQ(judge(look, {}), Verdict::kEmpty);
  EXPECT_EQ(judge(look, {std::nullopt, true}), Verdict::kFinished);
  look.incomplete = "empty";
  EXPECT_EQ(judge(look, {std::nullopt, true}), Verdict::kTorn);
}

TEST(FinishedProof, WithoutALeaseTwoEqualLooksAreNeeded) {
  const Look look = good_look(LeaseState::kUnsupported);
  EXPECT_EQ(judge(look, {}), Verdict::kLookAgain);
  EXPECT_EQ(judge(look, {EarlierLook{look.digest, look.before}, false}), Verdict::kFinished);
  EXPECT_EQ(judge(look, {EarlierLook{Digest{}, look.before}, false}), Verdict::kLookAgain);
  FileStat other = look.before;
  other.ctime_ns = 9;
  EXPECT_EQ(judge(look, {EarlierLook{look.digest, other}, false}), Verdict::kLookAgain);
  Look changed = look;
  changed.after.ctime_ns = 9;
  EXPECT_EQ(judge(changed, {EarlierLook{look.digest, look.before}, false}), Verdict::kRestless);
}

// -------------------------------------------------------------------------------------------- completeness

TEST(Completeness, NativeNames) {
  for (const char* name : {"libx.so", "a/libx.so.1", "libx.so.1.2.3", "x.dylib"})
    EXPECT_TRUE(has_native_name(name)) << name;
  for (const char* name : {"libx.so.txt", "x.so.", "so", "x.socket", "a.so/x.txt", "libx.so.1a"})
    EXPECT_FALSE(has_native_name(name)) << name;
}

TEST(Completeness, OtherFilesAreWholeWhateverTheyHold) {
  EXPECT_TRUE(check_complete("a.txt", {}).ok());
  EXPECT_TRUE(check_complete("a.txt", as_bytes(std::string(100, '\0'))).ok());
  EXPECT_TRUE(check_complete("libx.so", as_bytes("INPUT(-lc)")).ok());  // a linker script
}

TEST(Completeness, LibrariesWithoutAHeaderAreNot) {
  EXPECT_FALSE(check_complete("libx.so", {}).ok());
  EXPECT_FALSE(check_complete("libx.so", as_bytes(std::string(100, '\0'))).ok());
  EXPECT_FALSE(check_complete("libx.so", as_bytes("\x7f"
                                                  "E"))
                   .ok());
  EXPECT_FALSE(check_complete("x.bin", as_bytes(std::string("\x7f"
                                                            "ELF") +
                                                std::string(20, '\0')))
                   .ok());
}

/// A Mach-O file with one segment command for `size` bytes at `offset`.
std::string mach_o(std::uint64_t offset, std::uint64_t size, std::size_t total) {
  std::string file(total, '\0');
  const auto put = [&](std::size_t at, auto value) { std::memcpy(file.data() + at, &value, sizeof value); };
  put(0, std::uint32_t{0xFEEDFACF});
  put(16, std::uint32_t{1});
  put(20, std::uint32_t{72});
  put(32, std::uint32_t{0x19});
  put(36, std::uint32_t{72});
  put(72, offset);
  put(80, size);
  return file;
}

TEST(Completeness, MachOSegmentsMustLieInside) {
  EXPECT_TRUE(check_complete("x.dylib", as_bytes(mach_o(0, 200, 200))).ok());
  EXPECT_FALSE(check_complete("x.dylib", as_bytes(mach_o(0, 201, 200))).ok());
  EXPECT_FALSE(check_complete("x.dylib", as_bytes(mach_o(UINT64_MAX, 2, 200))).ok());
  EXPECT_FALSE(check_complete("x.dylib", as_bytes(mach_o(0, 50, 200).substr(0, 60))).ok());
}

// --------------------------------------------------------------------------------------------------- tree

TEST(TreeTest, FilesAreFoundInTheirDirectories) {
  Tree tree;
  tree.add_directory("");
  tree.add_directory("a");
  EXPECT_EQ(tree.add_file("nowhere/x"), nullptr);
  for (const char* path : {"m", "b", "z", "a/q"}) ASSERT_NE(tree.add_file(path), nullptr);
  EXPECT_EQ(tree.file_count(), 4U);
  EXPECT_EQ(tree.find("b")->name, "b");
  EXPECT_EQ(tree.find("a/q")->name, "q");
  EXPECT_EQ(tree.find("q"), nullptr);
  tree.remove_file("b");
  tree.remove_file("b");
  EXPECT_EQ(tree.find("b"), nullptr);
  tree.remove_directory("a");
  EXPECT_EQ(tree.file_count(), 2U);
}

TEST(TreeTest, NeighboursInTheAlphabetAreNotBelow) {
  Tree tree;
  for (const char* path : {"", "a", "a-b", "a/c", "a/c/d", "a0", "ab"}) tree.add_directory(path);
  EXPECT_THAT(tree.subtree("a"), ElementsAre("a", "a/c", "a/c/d"));
  EXPECT_THAT(tree.subdirectories(""), ElementsAre("a", "a-b", "a0", "ab"));
  EXPECT_THAT(tree.subdirectories("a"), ElementsAre("c"));
  EXPECT_THAT(tree.subtree(""), SizeIs(7));
}

// --------------------------------------------------------------------------------------- posix_file_system

TEST(FileSystemTraitsTest, OnlyLocalFileSystemsAreTrusted) {
  EXPECT_TRUE(traits_of_magic(0xEF53).lease_proves);
  EXPECT_FALSE(traits_of_magic(0x794C7630).lease_proves);  // overlayfs: mappings outlive their descriptors
  EXPECT_TRUE(traits_of_magic(0x794C7630).events_reliable);
  for (const std::uint64_t magic : {0x6969ULL, 0x65735546ULL, 0x01021997ULL, 0xFFFFFFFFFF534D42ULL}) {
    EXPECT_FALSE(traits_of_magic(magic).lease_proves);
    EXPECT_FALSE(traits_of_magic(magic).events_reliable);
  }
}

TEST(PosixFileSystemTest, SaysWhatIsWrongWithTheDirectory) {
  const auto missing = PosixFileSystem::create("/no/such/directory");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("/no/such/directory"));
  const auto file = PosixFileSystem::create("/etc/passwd");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace moddev::watcher
