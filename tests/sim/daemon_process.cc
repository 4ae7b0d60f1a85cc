#include "tests/sim/daemon_process.h"

#include <unistd.h>

#include <array>
#include <fstream>
#include <string>
#include <utility>

namespace moddev::sim {
namespace {

namespace fs = std::filesystem;

constexpr std::array kJournalFiles = {"", "-wal", "-journal", ".lock"};
constexpr std::uint64_t kPageBytes = 4096;  // of SQLite

/// The planted bug: whoever asks gets the lease, writers or not.
class LyingFileSystem final : public watcher::FileSystem {
 public:
  explicit LyingFileSystem(watcher::FileSystem& files) : files_(files) {}
  Result<watcher::FileStat> stat(const std::string& path) override { return files_.stat(path); }
  Result<watcher::FileStat> lstat(const std::string& path) override { return files_.lstat(path); }
  Result<std::vector<watcher::DirectoryEntry>> list(const std::string& path) override {
    return files_.list(path);
  }
  Result<std::unique_ptr<watcher::OpenFile>> open(const std::string& path) override {
    auto file = files_.open(path);
    if (!file) return file.error();
    return std::unique_ptr<watcher::OpenFile>(std::make_unique<File>(std::move(*file)));
  }
  Result<std::string> resolve(const std::string& path) override { return files_.resolve(path); }
  Status create_cookie(const std::string& path) override { return files_.create_cookie(path); }
  Status remove_cookie(const std::string& path) override { return files_.remove_cookie(path); }
  [[nodiscard]] bool events_are_reliable() override { return files_.events_are_reliable(); }
  [[nodiscard]] std::int64_t stamp_now() override { return files_.stamp_now(); }
  [[nodiscard]] std::string why_no_lease(const std::string& path) override {
    return files_.why_no_lease(path);
  }

 private:
  class File final : public watcher::OpenFile {
   public:
    explicit File(std::unique_ptr<watcher::OpenFile> file) : file_(std::move(file)) {}
    Result<watcher::FileStat> stat() override { return file_->stat(); }
    watcher::LeaseState take_lease() override { return watcher::LeaseState::kHeld; }
    watcher::LeaseState lease() override { return watcher::LeaseState::kHeld; }
    Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) override {
      return file_->read(offset, buffer);
    }

   private:
    std::unique_ptr<watcher::OpenFile> file_;
  };
  watcher::FileSystem& files_;
};

}  // namespace

// ------------------------------------------------------------------------------------ JournalDirectory

JournalDirectory::JournalDirectory(bool on_disk) {
  if (!on_disk) return;
  const fs::path base = fs::is_directory("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
  std::string name = (base / "moddev-sim-XXXXXX").string();
  MODDEV_ASSERT(::mkdtemp(name.data()) != nullptr, "no directory for the journals can be made in " + name);
  root_ = name;
  disk_.emplace();
}

JournalDirectory::~JournalDirectory() {
  std::error_code ignored;
  if (!root_.empty()) fs::remove_all(root_, ignored);
}

fs::path JournalDirectory::current() const {
  return root_.empty() ? fs::path(":memory:") : root_ / ("journal" + std::to_string(generation_));
}

void JournalDirectory::copy(const fs::path& from, const fs::path& to) const {
  for (const char* suffix : kJournalFiles) {
    std::error_code error;
    fs::remove(to.string() + suffix, error);
    fs::copy_file(from.string() + suffix, to.string() + suffix, error);
  }
}

void JournalDirectory::freeze() {
  MODDEV_ASSERT(!root_.empty(), "a world whose daemon dies has its journal on disk");
  const fs::path before = current();
  ++generation_;
  copy(before, current());
  disk_->copied(before, current());
}

void JournalDirectory::cut_power(Random& random, double witness_stays) {
  const fs::path before = current();
  ++generation_;
  disk_->cut(before, current(), random);
  // The witness beside it is written without waiting as well.
  std::error_code ignored;
  if (random.chance(witness_stays))
    fs::copy_file(before.string() + ".lock", current().string() + ".lock", ignored);
}

void JournalDirectory::damage(Random& random) {
  const fs::path before = current();
  ++generation_;
  copy(before, current());
  std::error_code error;
  const std::uint64_t pages = fs::file_size(current(), error) / kPageBytes;
  if (error || pages == 0) return;
  std::fstream file(current(), std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(random.below(pages) * kPageBytes));
  file << std::string(kPageBytes, '\xA5');
}

void JournalDirectory::remember() {
  copy(current(), root_ / "remembered");
  remembered_ = true;
}

void JournalDirectory::forget_since_remembered() {
  if (!remembered_) return;
  copy(root_ / "remembered", current());
  // Or it would witness against the old copy.
  std::error_code ignored;
  fs::remove(current().string() + ".lock", ignored);
}

void JournalDirectory::lose() {
  ++generation_;
}

// --------------------------------------------------------------------------------------- DaemonProcess

DaemonProcess::DaemonProcess(const Weather& weather, Plant plant, watcher::testing::FakeFileSystem& files,
                             SimNetwork& network, Random random)
    : weather_(weather),
      plant_(plant),
      files_(files),
      network_(network),
      disk_(weather.daemon_restarts || weather.full_disks),
      random_(random) {
  blobs_.before_change = [this] { count_operation(); };
  if (plant == Plant::kLyingLease) lying_ = std::make_unique<LyingFileSystem>(files);
}

DaemonProcess::~DaemonProcess() {
  if (up()) stop();
}

void DaemonProcess::count_operation() {
  if (!left_) return;
  if (*left_ == 0) throw Killed{};
  --*left_;
}

/// At a write of the journal a part of it may arrive, and the files are kept as they are then.
void DaemonProcess::watch_writes() {
  daemon::testing::PowerCutDisk* disk = disk_.disk();
  if (disk == nullptr) return;
  disk->dies_in_write = [this](std::size_t size) -> std::optional<std::size_t> {
    if (!left_ || frozen_) return std::nullopt;
    if (*left_ > 0) {
      --*left_;
      return std::nullopt;
    }
    return random_.chance(0.5) ? 0 : random_.below(size + 1);
  };
  disk->died = [this] {
    frozen_ = true;
    disk_.freeze();
  };
}

bool DaemonProcess::start(TimePoint now, WallTime wall) {
  frozen_ = false;
  watch_writes();
  auto opened = daemon::Journal::open(disk_.current(), wall, "boot " + std::to_string(boots_));
  if (died_in_write()) {
    disarm();
    return false;
  }
  if (!opened.ok() && disk_.disk() != nullptr && disk_.disk()->full) return false;
  MODDEV_ASSERT(opened.ok(), "the journal does not open after a restart: " + opened.error().message);
  journal_ = std::move(*opened);
  events_ = std::make_unique<watcher::testing::FakeEventSource>(files_);
  events_->lose = lose_event;
  events_->hold_back(late_);
  watcher::WatcherOptions watching;
  watching.debounce = weather_.debounce;
  watcher::FileSystem& seen = lying_ ? *lying_ : files_;
  watcher_ = std::make_unique<watcher::Watcher>(watching, seen, *events_, blobs_);
  transport_ = std::make_unique<SimTransport>(network_);
  wire(*transport_);
  transport_->before_operation = [this] { count_operation(); };
  transport_->after_operation = [this] { count_operation(); };
  daemon::DaemonOptions options;
  options.directory = "/world";
  options.software = "simulation";
  options.pid = 1;
  options.fleet = weather_.fleet;
  options.fleet.still_there = still_there;
  if (plant_ == Plant::kHastyRestart) options.rejoin_patience = Duration::zero();
  if (weather_.short_memory) options.retention.epochs = 5;
  daemon_ = std::make_unique<daemon::Daemon>(std::move(options), *watcher_, blobs_, *journal_, *transport_);
  network_.daemon_started(now);
  due_ = now;
  if (plant_ == Plant::kForgetfulJournal && weather_.daemon_restarts) disk_.remember();
  on_started(*journal_, std::exchange(fate_, Fate::kIntact));
  return true;
}

void DaemonProcess::stop() {
  // On a full disk it cannot say that it ended in order.
  disarm();
  ended_in_order_ = disk_.disk() == nullptr || !disk_.disk()->full;
  shut_down();
}

void DaemonProcess::shut_down() {
  disarm();
  network_.daemon_died();
  daemon_.reset();
  transport_.reset();
  watcher_.reset();
  events_.reset();
  if (on_stopped) on_stopped();
  journal_.reset();
}

void DaemonProcess::kill() {
  // What a dead process leaves is copied before its objects are destroyed, which would tidy up.
  if (!died_in_write()) disk_.freeze();
  if (plant_ == Plant::kForgetfulJournal) disk_.forget_since_remembered();
  ended_in_order_ = false;
  shut_down();
}

bool DaemonProcess::step(TimePoint now, WallTime wall) {
  try {
    due_ = daemon_->step(now, wall);
    if (!died_in_write()) return true;
  } catch (const Killed&) {
  }
  kill();
  return false;
}

void DaemonProcess::cut_power() {
  const bool silent = plant_ == Plant::kSilentPowerCut;
  if (!silent) ++boots_;
  disk_.cut_power(random_, silent ? 0 : 0.5);
  if (!ended_in_order_) fate_ = std::max(fate_, Fate::kPowerCut);
}

void DaemonProcess::lose_journal() {
  disk_.lose();
  fate_ = Fate::kLost;
}

void DaemonProcess::damage_journal() {
  disk_.damage(random_);
  fate_ = Fate::kLost;
}

void DaemonProcess::fill_disk(bool blobs, bool journal) {
  blobs_.full = blobs;
  if (disk_.disk() != nullptr) disk_.disk()->full = journal;
}

bool DaemonProcess::journal_is_full() const {
  return disk_.is_full();
}

void DaemonProcess::hold_events(bool held) {
  late_ = held;
  if (events_) events_->hold_back(held);
}

}  // namespace moddev::sim
