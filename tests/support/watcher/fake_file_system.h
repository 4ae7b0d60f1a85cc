// A directory in memory, for the watcher's tests and the simulation: files with inodes, writers that are
// still writing, leases that break, symlinks, time stamps that stand still when they are told to.
// Single-threaded and deterministic. A FakeEventSource attached to it hears of every change, as inotify
// would.
//
// It differs from a kernel in one point, on purpose: a writer that comes while a lease is held need not wait.
// The lease is broken at once and the bytes change under the reader, which must notice.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.h"
#include "watcher/event_source.h"
#include "watcher/file_system.h"

namespace moddev::watcher::testing {

class FakeFileSystem final : public FileSystem {
 public:
  using WriterId = std::uint64_t;

  FakeFileSystem();
  ~FakeFileSystem() override;

  // ------------------------------------------------------------------- what the world does to the directory
  // Paths must be sensible (parents exist, and so on); anything else is a mistake in the test and asserted.

  /// The time that changes are stamped with. Starts at one second; advances only when told to.
  void set_time(std::int64_t ns) { time_ns_ = ns; }
  void advance_time(std::int64_t ns) { time_ns_ += ns; }

  void make_directory(const std::string& path);
  /// open(O_TRUNC), write, close: in place, so the inode stays when the file exists.
  void write(const std::string& path, std::string_view content);
  /// A hidden temporary and a rename over `path`, as mold and rsync do.
  void replace(const std::string& path, std::string_view content);
  /// Opens for writing. `truncate`: an existing file becomes empty at once.
  WriterId begin_write(const std::string& path, bool truncate = true);
  void append(WriterId writer, std::string_view content);
  /// A store through a shared mapping: no event, and no new time stamp.
  void store(WriterId writer, std::size_t offset, std::string_view content);
  void preallocate(WriterId writer, std::size_t size);
  /// The last reference goes: by close(2), or because the process was killed.
  void close(WriterId writer);
  void truncate(const std::string& path, std::size_t size);  // truncate(2)
  void change_mode(const std::string& path, bool executable);
  /// Sets the times, as `cp -p` and `rsync -t` do.
  void set_mtime(const std::string& path, std::int64_t ns);
  void rename(const std::string& from, const std::string& to);
  void exchange(const std::string& a, const std::string& b);  // RENAME_EXCHANGE
  void remove(const std::string& path);                       // a directory with all that is in it
  void symlink(const std::string& target, const std::string& path);
  void hard_link(const std::string& from, const std::string& to);
  /// Changes a file's bytes without any event: a writer behind a hard link outside, or on another machine.
  void write_unseen(const std::string& path, std::string_view content);
  void remove_root();
  void restore_root();  // as an empty directory
  /// A file outside of the directory, by its absolute path.
  void write_outside(const std::string& absolute, std::string_view content);

  // ------------------------------------------------------------------------------------------ faults
  void grant_leases(bool granted) { leases_ = granted; }
  void set_reliable(bool reliable) { reliable_ = reliable; }
  /// The next `count` open() calls fail with kIo.
  void fail_opens(int count) { failing_opens_ = count; }
  void deny(const std::string& path, bool denied);  // kPermission
  void refuse_cookies(bool refused) { cookies_refused_ = refused; }
  /// Called before each open() and before each read(): the moment for something to happen in between.
  std::function<void(const std::string& path)> before_open;
  std::function<void(std::uint64_t offset)> before_read;

  // ---------------------------------------------------------------------------------------- what is there
  [[nodiscard]] std::optional<std::string> content(const std::string& path) const;  // through symlinks
  /// Every regular file, and every symlink to one inside, with its content.
  [[nodiscard]] std::map<std::string, std::string> all_files() const;
  [[nodiscard]] bool has_writers(const std::string& path) const;
  [[nodiscard]] std::optional<std::uint64_t> inode_of(const std::string& path) const;
  [[nodiscard]] std::uint64_t opens() const { return opens_; }
  [[nodiscard]] const std::set<std::string>& opened() const { return opened_; }

  /// Hears every change in its order. One listener; the event source sets it.
  std::function<void(const WatchEvent&)> on_event;

  // FileSystem
  Result<FileStat> stat(const std::string& path) override;
  Result<FileStat> lstat(const std::string& path) override;
  Result<std::vector<DirectoryEntry>> list(const std::string& path) override;
  Result<std::unique_ptr<OpenFile>> open(const std::string& path) override;
  Result<std::string> resolve(const std::string& path) override;
  Status create_cookie(const std::string& path) override;
  Status remove_cookie(const std::string& path) override;
  [[nodiscard]] bool events_are_reliable() override { return reliable_; }
  [[nodiscard]] std::int64_t stamp_now() override { return reliable_ ? time_ns_ : 0; }
  [[nodiscard]] std::string why_no_lease(const std::string&) override { return "the fake grants no lease"; }

 private:
  struct Node;
  class File;
  using NodePtr = std::shared_ptr<Node>;

  [[nodiscard]] NodePtr walk(const std::string& path, bool follow, int depth = 0) const;
  [[nodiscard]] NodePtr existing(const std::string& path) const;
  [[nodiscard]] std::pair<NodePtr, std::string> parent_of(const std::string& path) const;
  [[nodiscard]] Result<std::string> follow(const std::string& path, int depth) const;
  NodePtr make_node(FileType type);
  void touch_content(Node& node);
  void break_leases(Node& node);
  void emit(WatchEvent::Kind kind, const std::string& path, const std::string& target = {});
  [[nodiscard]] FileStat stat_of(const Node& node) const;
  void collect(const NodePtr& directory, const std::string& prefix,
               std::map<std::string, std::string>& files) const;

  NodePtr root_;
  std::map<std::string, NodePtr> outside_;
  struct OpenWriter {
    NodePtr node;
    std::string path;
  };
  std::map<WriterId, OpenWriter> writers_;
  std::set<std::string> denied_;
  std::set<std::string> opened_;
  WriterId next_writer_ = 1;
  std::uint64_t next_inode_ = 100;
  std::int64_t time_ns_ = 1'000'000'000;
  std::uint64_t opens_ = 0;
  int failing_opens_ = 0;
  bool leases_ = true;
  bool reliable_ = true;
  bool cookies_refused_ = false;
};

}  // namespace moddev::watcher::testing
