// A directory mutated at random, with everything that can go wrong with events, against three promises:
// published bytes are those of some finished file, nothing that is finished stays unpublished, and the same
// bytes are not published twice in a row. One seed, one run; a failure prints its seed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/support/watcher/world.h"
#include "watcher/ignore_rules.h"
#include "watcher/limits.h"

namespace moddev::watcher {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FakeFileSystem;
using testing::World;

struct Faults {
  double lose = 0;      // share of events that vanish silently
  double overflow = 0;  // chance of an overflow after a mutation
  // Without leases: no stores through mappings either, as a lost event and an unchanged stat would hide them.
  bool leases = true;
  bool split_renames = false;
  bool hold_back = false;
};

class Mutator {
 public:
  Mutator(std::uint64_t seed, World& world, bool mappings)
      : random_(seed), world_(world), mappings_(mappings) {
    directories_.emplace_back("");
  }

  void mutate() {
    const std::uint64_t kind = pick(16);
    if (kind < 4)
      write_finished();
    else if (kind < 7)
      begin();
    else if (kind < 11)
      go_on();
    else if (kind == 11)
      rename_file();
    else if (kind == 12)
      remove_file();
    else if (kind == 13)
      change_directory();
    else if (kind == 14)
      link();
    else
      exchange();
  }
  void finish_all_writers() {
    while (!writers_.empty()) end(0);
  }
  /// Every content that was whole at some moment, whatever its name was.
  [[nodiscard]] bool was_finished(const std::string& content) const { return finished_.contains(content); }
  [[nodiscard]] std::uint64_t pick(std::uint64_t below) { return random_() % below; }

 private:
  struct Writer {
    FakeFileSystem::WriterId id;
    std::string expected;
    std::string path;
    bool mapped = false;
  };

  std::string fresh_content() {
    // Sometimes the same again, sometimes of equal length.
    if (pick(5) == 0 && !last_.empty()) return last_;
    last_ = "content " + std::to_string(1000 + counter_++ % 9000) + (pick(3) == 0 ? " longer" : "");
    return last_;
  }
  std::string some_path() {
    const std::string& directory = directories_[pick(directories_.size())];
    return (directory.empty() ? "" : directory + "/") + "f" + std::to_string(pick(6)) + ".txt";
  }
  bool is_free(const std::string& path) {
    auto stat = world_.files.lstat(path);
    return !stat;
  }
  bool is_file(const std::string& path) {
    auto stat = world_.files.lstat(path);
    return stat && stat->type == FileType::kRegular;
  }
  bool writable(const std::string& path) {
    return is_free(path) || (is_file(path) && !world_.files.has_writers(path));
  }

  void write_finished() {
    const std::string path = some_path();
    if (!writable(path)) return;
    const std::string content = fresh_content();
    finished_.insert(content);
    if (pick(2) == 0)
      world_.files.write(path, content);
    else
      world_.files.replace(path, content);
  }
  void begin() {
    const std::string path = some_path();
    if (!writable(path) || writers_.size() >= 4) return;
    Writer writer{world_.files.begin_write(path), fresh_content() + " slowly", path,
                  mappings_ && pick(3) == 0};
    if (writer.mapped) world_.files.preallocate(writer.id, writer.expected.size());
    writers_.push_back(writer);
  }
  void go_on() {
    if (writers_.empty()) return;
    const std::uint64_t index = pick(writers_.size());
    Writer& writer = writers_[index];
    if (pick(3) == 0) return end(index);
    const std::size_t half = writer.expected.size() / 2;
    if (writer.mapped) world_.files.store(writer.id, half, writer.expected.substr(half));
  }
  void end(std::size_t index) {
    Writer writer = writers_[index];
    writers_.erase(writers_.begin() + static_cast<std::ptrdiff_t>(index));
    finished_.insert(writer.expected);
    if (writer.mapped)
      world_.files.store(writer.id, 0, writer.expected);
    else
      world_.files.append(writer.id, writer.expected);
    world_.files.close(writer.id);
  }
  void rename_file() {
    const std::string from = some_path();
    const std::string to = some_path();
    if (is_file(from) && writable(to) && from != to) world_.files.rename(from, to);
  }
  void remove_file() {
    const std::string path = some_path();
    if (!is_free(path)) world_.files.remove(path);
  }
  void exchange() {
    const std::string a = some_path();
    const std::string b = some_path();
    if (a != b && is_file(a) && is_file(b) && !world_.files.has_writers(a) && !world_.files.has_writers(b))
      world_.files.exchange(a, b);
  }
  void link() {
    const std::string path = some_path();
    if (!is_free(path)) return;
    const std::size_t slash = path.rfind('/');
    const std::string name = "f" + std::to_string(pick(6)) + ".txt";
    if (slash == std::string::npos ? path != name : path.substr(slash + 1) != name)
      world_.files.symlink(name, path);
  }
  void change_directory() {
    const std::uint64_t what = pick(3);
    if (what == 0 && directories_.size() < 6) {
      const std::string& parent = directories_[pick(directories_.size())];
      const std::string path = (parent.empty() ? "" : parent + "/") + "d" + std::to_string(counter_++);
      world_.files.make_directory(path);
      directories_.push_back(path);
      return;
    }
    if (directories_.size() < 2) return;
    const std::size_t index = 1 + pick(directories_.size() - 1);
    const std::string path = directories_[index];
    // Fewer surprises for the model: only leaves without writers move.
    for (const std::string& other : directories_)
      if (other.starts_with(path + "/")) return;
    for (const Writer& writer : writers_)
      if (writer.path.starts_with(path + "/")) return;
    if (what == 1) {
      world_.files.remove(path);
      directories_.erase(directories_.begin() + static_cast<std::ptrdiff_t>(index));
    } else {
      const std::string to = "m" + std::to_string(counter_++);
      world_.files.rename(path, to);
      directories_[index] = to;
    }
  }

  std::mt19937_64 random_;
  World& world_;
  bool mappings_;
  std::vector<std::string> directories_;
  std::vector<Writer> writers_;
  std::set<std::string> finished_;
  std::string last_;
  int counter_ = 0;
};

std::string difference(const std::map<std::string, std::string>& disk,
                       const std::map<std::string, std::string>& told) {
  std::string text;
  for (const auto& [path, content] : disk) {
    const auto found = told.find(path);
    if (found == told.end())
      text += "not told: " + path + " = " + content + "\n";
    else if (found->second != content)
      text += path + " = " + content + ", told " + found->second + "\n";
  }
  for (const auto& [path, content] : told)
    if (!disk.contains(path)) text += "not there: " + path + " = " + content + "\n";
  return text;
}

void check_run(std::uint64_t seed, const Faults& faults) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  World world;
  world.files.grant_leases(faults.leases);
  Mutator mutator(seed, world, faults.leases);
  std::mt19937_64 chance(seed ^ 0x9e3779b97f4a7c15ULL);
  std::uniform_real_distribution<double> share(0, 1);
  world.events.split_renames(faults.split_renames);
  world.events.lose = [&](const WatchEvent&) { return share(chance) < faults.lose; };
  // Things also happen between open, read and stat.
  bool quiet = false;
  world.files.before_read = [&](std::uint64_t) {
    if (!quiet && share(chance) < 0.1) mutator.mutate();
  };
  world.files.before_open = [&](const std::string&) {
    if (!quiet && share(chance) < 0.05) mutator.mutate();
  };
  const auto published_is_finished = [&] {
    for (const auto& [path, contents] : world.listener.history)
      for (const std::string& content : contents)
        // Without leases a writer that pauses for longer than the quiet time may be caught: not a promise.
        ASSERT_TRUE(!faults.leases || content.empty() || mutator.was_finished(content))
            << path << ": " << content;
  };
  for (int i = 0; i < 400; ++i) {
    if (faults.hold_back) world.events.hold_back(mutator.pick(3) == 0);
    mutator.mutate();
    if (share(chance) < faults.overflow) world.events.overflow();
    switch (mutator.pick(4)) {
      case 0:
        break;  // the next mutation comes in the same moment
      case 1:
        world.step();
        break;
      case 2:
        world.run(milliseconds(mutator.pick(50)));
        break;
      default:
        world.run(milliseconds(mutator.pick(1500)));
    }
  }
  quiet = true;
  mutator.finish_all_writers();
  world.events.hold_back(false);
  // What was lost comes back with the slow rescan; unseen writes within the stamp's granularity with the
  // next.
  world.run(2 * limits::kSlowRescan + seconds(10));
  published_is_finished();
  EXPECT_EQ(difference(world.files.all_files(), world.listener.holds), "");
  EXPECT_EQ(world.listener.empty_changes, 0);
  EXPECT_TRUE(world.watcher.idle());
}

TEST(WatcherModel, NothingGoesWrong) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) check_run(seed, {});
}
TEST(WatcherModel, EventsAreLost) {
  for (std::uint64_t seed = 100; seed <= 150; ++seed) check_run(seed, {.lose = 0.3});
}
TEST(WatcherModel, NoEventComesAtAll) {
  for (std::uint64_t seed = 200; seed <= 220; ++seed) check_run(seed, {.lose = 1});
}
TEST(WatcherModel, QueuesOverflowAndRenamesComeApart) {
  for (std::uint64_t seed = 300; seed <= 350; ++seed)
    check_run(seed, {.overflow = 0.1, .split_renames = true, .hold_back = true});
}
TEST(WatcherModel, NoLeases) {
  for (std::uint64_t seed = 400; seed <= 430; ++seed) check_run(seed, {.lose = 0.1, .leases = false});
}

}  // namespace
}  // namespace moddev::watcher
