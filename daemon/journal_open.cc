// Opening the journal: locking, making, bringing up to date, checking, setting aside. Recording and asking
// are in journal.cc.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <fstream>
#include <vector>

#include "daemon/journal_schema.h"
#include "daemon/journal_state.h"
#include "daemon/limits.h"
#include "protocol/descriptor.h"

namespace moddev::daemon {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInMemory = ":memory:";
constexpr const char* kDamaged = ".damaged-";

/// Journals that were set aside beside `path`, oldest first.
std::vector<fs::path> set_aside_before(const fs::path& path) {
  std::vector<fs::path> found;
  std::error_code error;
  const std::string start = path.filename().string() + kDamaged;
  for (fs::directory_iterator it(path.parent_path().empty() ? "." : path.parent_path(), error), end;
       !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(start) && !name.ends_with("-wal") && !name.ends_with("-shm"))
      found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Whether there are blobs beside a journal that is not there, nor its lock: a person removed them.
bool blobs_are_left(const fs::path& path) {
  std::error_code error;
  for (const auto& shard : fs::directory_iterator(path.parent_path() / "blobs", error)) {
    if (shard.path().filename().string().size() != 2) continue;
    std::error_code inner;
    if (fs::directory_iterator(shard.path(), inner) != fs::directory_iterator()) return true;
  }
  return false;
}

/// Makes `path` for its user alone, or takes from others what they may with an older one: it tells who did
/// what. SQLite would make it readable for all, and gives its companions the same mode. Must come before
/// SQLite opens it, whose locks would go with our descriptor.
Status make_private(const std::string& path, int flags) {
  const Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags, 0600));
  struct stat info {};
  if (!file) {
    const int why = errno;
    if (why == ENOENT && flags == 0) return {};
    const bool ours = ::stat(path.c_str(), &info) == 0 && info.st_uid == ::geteuid();
    Error error = errno_error("cannot write the history '" + path + "'", why);
    if (why == EACCES && ours)
      error.message += "; run `chmod 600 " + path + "`, or move it away to begin a new one";
    if ((why == EACCES && !ours) || why == EISDIR) error.message += "; move it away to begin a new one";
    return error;
  }
  if (::fstat(file.get(), &info) != 0) return errno_error("cannot look at the history '" + path + "'", errno);
  if ((info.st_mode & 077) == 0) return {};
  if (::fchmod(file.get(), info.st_mode & 0700) == 0) return {};
  return errno_error("cannot keep others from the history '" + path + "'", errno);
}

}  // namespace

std::uint64_t inode_of(const fs::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

std::string current_boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

Status Journal::State::open_file(bool existed, WallTime now) {
  if (path != kInMemory) {
    MODDEV_TRY(make_private(path.string(), O_CREAT));
    for (const char* companion : {"-wal", "-shm"}) MODDEV_TRY(make_private(path.string() + companion, 0));
  }
  auto file = sqlite::Database::open(path);
  if (!file) return file.error();
  db = std::move(*file);
  if (path != kInMemory) inode = inode_of(path);
  auto version = schema::version_of(db);
  if (!version) return version.error();
  if (*version > schema::kVersion) {
    return Error{ErrorCode::kUnsupported,
                 "the history '" + path.string() + "' was written by a newer moddev (schema " +
                     std::to_string(*version) +
                     "); update moddev, or move the file away to begin a new history",
                 0};
  }
  // Until the run has begun everything is on the disk before it counts; then it need not be (see begin_run).
  MODDEV_TRY(db.set_durable(true));
  MODDEV_TRY(db.use_write_ahead_log());
  if (*version == 0) {
    MODDEV_TRY(schema::create(db));
    if (existed)
      notice = "The history '" + path.string() + "' was empty; a new one with a new repo id begins.";
    if (!existed && (lock.used_before() || blobs_are_left(path))) {
      notice = "The history '" + path.string() +
               "' is missing, although moddev has used it before; a new one with a new repo id begins, and "
               "executors will load everything anew.";
    }
  } else {
    opened = Opened::kExisting;
    MODDEV_TRY(schema::check_pages(db));
    MODDEV_TRY(schema::migrate(db, *version));
  }
  MODDEV_TRY(load());
  return begin_run(now);
}

Status Journal::State::set_aside(WallTime now, const std::string& why) {
  db = {};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  std::string aside = path.string() + kDamaged + std::to_string(seconds);
  for (int n = 2; fs::exists(aside); ++n) {
    aside = path.string() + kDamaged + std::to_string(seconds) + "." + std::to_string(n);
  }
  std::vector<fs::path> before = set_aside_before(path);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code error;
    fs::rename(path.string() + suffix, aside + suffix, error);
    if (error && suffix[0] == '\0')
      return errno_error("cannot set aside '" + path.string() + "'", error.value());
  }
  for (; before.size() >= limits::kDamagedJournalsKept; before.erase(before.begin())) {
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::error_code ignored;
      fs::remove(before.front().string() + suffix, ignored);
    }
  }
  notice = "The history was damaged (" + why + "). It is kept as '" + aside +
           "'; a new history with a new repo id begins, and executors will load everything anew.";
  opened = Opened::kReplaced;
  return {};
}

Status Journal::State::load() {
  auto repo_text = schema::meta(db, "repo");
  if (!repo_text) return repo_text.error();
  auto repo = Uuid::parse(*repo_text);
  if (!repo) return schema::corrupt("the repo id is missing");
  id = {*repo, Uuid::random()};
  MODDEV_TRY(load_base());
  MODDEV_TRY(load_epochs());
  MODDEV_TRY(load_holds());
  MODDEV_TRY(load_audit());
  return load_runs();
}

/// What is left of the forgotten epochs.
Status Journal::State::load_base() {
  auto until = number("forgotten");
  auto leads_from = number("base");
  auto versions_text = schema::meta(db, "versions");
  if (!until) return until.error();
  if (!leads_from) return leads_from.error();
  if (!versions_text) return versions_text.error();
  if (*until == 0) return {};
  auto versions = schema::read_versions(*versions_text);
  if (!versions) return versions.error();
  last_versions = std::move(*versions);
  forgotten = *until;
  base = *leads_from;
  head = forgotten;
  if (base == 0) return {};
  auto manifest = snapshot(base);
  if (!manifest) {
    return manifest.error().code == ErrorCode::kNotFound ? schema::corrupt("its first manifest is missing")
                                                         : manifest.error();
  }
  committed = std::move(*manifest);
  return {};
}

Result<std::uint64_t> Journal::State::number(std::string_view key) const {
  auto text = schema::meta(db, key);
  if (!text) return text.error();
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), value);
  if (!text->empty() && (parsed.ec != std::errc() || parsed.ptr != text->data() + text->size()))
    return schema::corrupt("'" + std::string(key) + "' is no number");
  return value;
}

/// All epochs in their order, each checked against what was written and against its neighbours.
Status Journal::State::load_epochs() {
  sqlite::Statement epochs = db.prepare(
      ("select " + std::string(schema::kEpochColumns) + " from epochs e order by e.epoch").c_str());
  sqlite::Statement changes = db.prepare(
      ("select c.epoch, " + std::string(schema::kChangeColumns) + " from changes c order by c.epoch, c.name")
          .c_str());
  auto change = changes.step();
  while (true) {
    auto row = epochs.step();
    if (!row) return row.error();
    if (!*row) break;
    auto record = schema::read_epoch(epochs);
    if (!record) return record.error();
    const std::string which = "epoch " + std::to_string(record->epoch);
    if (record->epoch != head + 1) return schema::corrupt("there is no epoch " + std::to_string(head + 1));
    if (record->base != committed.epoch)
      return schema::corrupt(which + " does not follow from the one before");
    for (; change && *change && changes.count(0) == record->epoch; change = changes.step()) {
      auto one = schema::read_change(changes, 1);
      if (!one) return one.error();
      record->changes.push_back(std::move(*one));
    }
    if (!change) return change.error();
    MODDEV_TRY(schema::verify(*record, epochs.text(schema::kEpochColumnCount - 1)));
    take_in(std::move(*record));
  }
  if (*change) return schema::corrupt("there are changes without an epoch");
  return {};
}

void Journal::State::take_in(EpochRecord record) {
  head = record.epoch;
  const bool is_committed = record.state == EpochState::kCommitted;
  if (is_committed) committed.epoch = record.epoch;
  for (ModuleChange& change : record.changes) {
    const ModuleEntry& module = change.module;
    if (change.change != ChangeKind::kRemoved) last_versions[module.name] = {module.version, module.digest};
    if (is_committed) take_over(committed, std::move(change));
  }
}

Status Journal::State::load_holds() {
  sqlite::Statement rows = db.prepare(
      ("select " + std::string(schema::kHoldColumns) +
       " from holds where epoch not in (select epoch from epochs where state<>'committed') order by epoch")
          .c_str());
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) return {};
    auto hold = schema::read_hold(rows);
    if (!hold) return hold.error();
    holds.insert_or_assign(std::move(hold->first), std::move(hold->second));
  }
}

/// What must be known before the first epoch of this run, and after it when it does not end well. It is on
/// the disk when this returns, so that a power cut cannot take it back.
Status Journal::State::begin_run(WallTime now) {
  auto left = schema::meta(db, "clean");
  auto boot_before = schema::meta(db, "boot");
  if (!left) return left.error();
  if (!boot_before) return boot_before.error();
  const bool rebooted =
      *left != kLeftInOrder && *left != kLeftInOrderBySchema1 && !left->empty() && *boot_before != boot;
  const bool shortened = lock.witnessed() > head;
  sqlite::Transaction transaction(db);
  MODDEV_TRY(transaction.begun());
  if (opened == Opened::kExisting && (rebooted || shortened)) {
    // Epochs that were announced may be missing here: their numbers could be given again. Under a new repo id
    // a number never stands for two contents.
    id.repo = Uuid::random();
    MODDEV_TRY(schema::set_meta(db, "repo", id.repo.to_string()));
    const std::string why = shortened
                                ? "The history ends with epoch " + std::to_string(head) + ", but epoch " +
                                      std::to_string(lock.witnessed()) +
                                      " was announced: its end was lost, or an old copy was put back."
                                : "The machine went down while the daemon ran, so the newest epochs may be "
                                  "missing from the history.";
    notice = why + " It goes on under a new repo id, and executors will load everything anew.";
  }
  MODDEV_TRY(schema::set_meta(db, "boot", boot));
  MODDEV_TRY(schema::set_meta(db, "clean", kRunning));
  // Nobody can have committed what the former run had only announced.
  MODDEV_TRY(db.prepare("delete from holds where epoch in (select epoch from epochs where state='announced')")
                 .run());
  MODDEV_TRY(db.prepare("update epochs set state='aborted', decided_at=? where state='announced'")
                 .bind(now.time_since_epoch().count())
                 .run());
  MODDEV_TRY(transaction.commit());
  lock.witness(head);
  running = true;
  // From here on a lost record is noticed by the boot id. Where there is none, nothing may be lost.
  return boot.empty() ? Status() : db.set_durable(false);
}

Result<std::unique_ptr<Journal>> Journal::open(const fs::path& path, WallTime now,
                                               const std::string& boot_id) {
  auto state = std::make_unique<State>();
  state->path = path;
  state->boot = boot_id;
  bool existed = false;
  if (path != kInMemory) {
    auto lock = JournalLock::take(path);
    if (!lock) return lock.error();
    state->lock = std::move(*lock);
    std::error_code missing;
    existed = fs::exists(path, missing);
  }
  Status ready = state->open_file(existed, now);
  if (!ready && ready.error().code == ErrorCode::kCorrupt && existed) {
    auto fresh = std::make_unique<State>();
    fresh->path = path;
    fresh->boot = boot_id;
    MODDEV_TRY(state->set_aside(now, ready.error().message));
    fresh->lock = std::move(state->lock);
    fresh->opened = state->opened;
    fresh->notice = state->notice;
    state = std::move(fresh);
    const std::string notice = state->notice;
    ready = state->open_file(false, now);
    state->notice = notice;
    state->opened = Opened::kReplaced;
  }
  if (!ready) return ready.error();
  return std::unique_ptr<Journal>(new Journal(std::move(state)));
}

}  // namespace moddev::daemon
