#include "tests/support/state/power_cut.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <new>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/result.h"

namespace moddev::daemon::testing {
namespace {

/// A write, or a truncation (without bytes).
struct Operation {
  std::uint64_t offset = 0;
  std::string bytes;
  bool truncates = false;
};

void write_into(std::string& content, const Operation& operation) {
  if (operation.truncates) {
    content.resize(std::min<std::size_t>(content.size(), operation.offset));
    return;
  }
  const std::size_t end = operation.offset + operation.bytes.size();
  if (content.size() < end) content.resize(end, '\0');
  content.replace(operation.offset, operation.bytes.size(), operation.bytes);
}

struct Tracked {
  std::string durable;
  std::vector<Operation> unsynced;
  /// Whether the name is on the disk, and whether it is removed since.
  bool named = false;
  bool removed = false;
};

}  // namespace

struct PowerCutDisk::State {
  PowerCutDisk* disk = nullptr;
  sqlite3_vfs vfs{};
  sqlite3_vfs* real = nullptr;
  std::map<std::string, Tracked> files;
};

namespace {

PowerCutDisk::State* g_state = nullptr;

/// SQLite's handle; the real one lies behind it.
struct File {
  sqlite3_file base;
  Tracked* tracked;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};
File* of(sqlite3_file* file) {
  return reinterpret_cast<File*>(file);
}
sqlite3_file* real(sqlite3_file* file) {
  return of(file)->real();
}

bool is_part(std::string_view suffix) {
  return suffix.empty() || suffix == "-wal" || suffix == "-journal";
}

int write_file(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  if (of(file)->tracked != nullptr) {
    PowerCutDisk& disk = *g_state->disk;
    if (disk.full) return SQLITE_FULL;
    if (const auto part = disk.dies_in_write ? disk.dies_in_write(static_cast<std::size_t>(size))
                                             : std::optional<std::size_t>()) {
      MODDEV_ASSERT(*part <= static_cast<std::size_t>(size), "a part of the write");
      const auto dying = std::exchange(disk.dies_in_write, nullptr);
      if (*part > 0) (void)write_file(file, data, static_cast<int>(*part), offset);
      if (disk.died) disk.died();
      return SQLITE_IOERR_WRITE;
    }
  }
  const int code = real(file)->pMethods->xWrite(real(file), data, size, offset);
  if (code == SQLITE_OK && of(file)->tracked != nullptr) {
    of(file)->tracked->unsynced.push_back(
        {static_cast<std::uint64_t>(offset),
         std::string(static_cast<const char*>(data), static_cast<std::size_t>(size)), false});
  }
  return code;
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  const int code = real(file)->pMethods->xTruncate(real(file), size);
  if (code == SQLITE_OK && of(file)->tracked != nullptr)
    of(file)->tracked->unsynced.push_back({static_cast<std::uint64_t>(size), {}, true});
  return code;
}

int sync_file(sqlite3_file* file, int flags) {
  // Without asking the real disk: it is not what forgets here.
  static_cast<void>(flags);
  if (Tracked* tracked = of(file)->tracked) {
    for (const Operation& operation : tracked->unsynced) write_into(tracked->durable, operation);
    tracked->unsynced.clear();
    tracked->named = true;
  }
  return SQLITE_OK;
}

const sqlite3_io_methods kMethods = {
    2,
    [](sqlite3_file* f) { return real(f)->pMethods->xClose(real(f)); },
    [](sqlite3_file* f, void* to, int size, sqlite3_int64 at) {
      return real(f)->pMethods->xRead(real(f), to, size, at);
    },
    write_file,
    truncate_file,
    sync_file,
    [](sqlite3_file* f, sqlite3_int64* size) { return real(f)->pMethods->xFileSize(real(f), size); },
    [](sqlite3_file* f, int level) { return real(f)->pMethods->xLock(real(f), level); },
    [](sqlite3_file* f, int level) { return real(f)->pMethods->xUnlock(real(f), level); },
    [](sqlite3_file* f, int* held) { return real(f)->pMethods->xCheckReservedLock(real(f), held); },
    [](sqlite3_file* f, int what, void* argument) {
      return real(f)->pMethods->xFileControl(real(f), what, argument);
    },
    [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); },
    [](sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); },
    [](sqlite3_file* f, int page, int size, int extend, void volatile** at) {
      return real(f)->pMethods->xShmMap(real(f), page, size, extend, at);
    },
    [](sqlite3_file* f, int offset, int count, int flags) {
      return real(f)->pMethods->xShmLock(real(f), offset, count, flags);
    },
    [](sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); },
    [](sqlite3_file* f, int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); },
    nullptr,
    nullptr,
};

int open_file(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
  auto* mine = new (file) File{{nullptr}, nullptr};
  const int code = g_state->real->xOpen(g_state->real, name, mine->real(), flags, out_flags);
  if (code != SQLITE_OK) return code;
  mine->base.pMethods = &kMethods;
  if (name != nullptr) {
    Tracked& tracked = g_state->files[name];
    if (tracked.removed) tracked = {};
    if (!tracked.named && tracked.unsynced.empty() && std::filesystem::exists(name)) {
      // What was there before anybody looked is on the disk.
      std::ifstream content(name, std::ios::binary);
      tracked.durable.assign(std::istreambuf_iterator<char>(content), {});
      tracked.named = !tracked.durable.empty();
    }
    mine->tracked = &tracked;
  }
  return SQLITE_OK;
}

int delete_file(sqlite3_vfs*, const char* name, int sync_directory) {
  const int code = g_state->real->xDelete(g_state->real, name, 0);
  if (const auto tracked = g_state->files.find(name); tracked != g_state->files.end()) {
    if (sync_directory != 0) tracked->second = {};
    tracked->second.removed = true;
  }
  return code;
}

}  // namespace

PowerCutDisk::PowerCutDisk() : state_(std::make_unique<State>()) {
  MODDEV_ASSERT(g_state == nullptr, "one such disk at a time");
  State& s = *state_;
  s.disk = this;
  s.real = sqlite3_vfs_find(nullptr);
  s.vfs = *s.real;
  s.vfs.zName = "power-cut";
  s.vfs.pNext = nullptr;
  s.vfs.szOsFile = static_cast<int>(sizeof(File)) + s.real->szOsFile;
  s.vfs.xOpen = open_file;
  s.vfs.xDelete = delete_file;
  g_state = &s;
  sqlite3_vfs_register(&s.vfs, 1);
}

PowerCutDisk::~PowerCutDisk() {
  sqlite3_vfs_unregister(&state_->vfs);
  sqlite3_vfs_register(state_->real, 1);
  g_state = nullptr;
}

void PowerCutDisk::copied(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::map<std::string, Tracked> more;
  for (const auto& [name, tracked] : state_->files) {
    if (!name.starts_with(from.string())) continue;
    const std::string suffix = name.substr(from.string().size());
    if (is_part(suffix)) more.insert_or_assign(to.string() + suffix, tracked);
  }
  for (auto& [name, tracked] : more) state_->files.insert_or_assign(name, std::move(tracked));
}

void PowerCutDisk::cut(const std::filesystem::path& from, const std::filesystem::path& to,
                       sim::Random& random) {
  // How bad it is: most of the writes arrived, or hardly any.
  const double arrives = static_cast<double>(random.below(11)) / 10;
  for (const auto& [name, tracked] : state_->files) {
    if (!name.starts_with(from.string())) continue;
    const std::string suffix = name.substr(from.string().size());
    if (!is_part(suffix)) continue;
    if ((!tracked.named || tracked.removed) && !random.chance(arrives)) continue;
    if (tracked.removed && tracked.durable.empty()) continue;
    std::string content = tracked.durable;
    for (const Operation& operation : tracked.unsynced) {
      if (!random.chance(arrives)) continue;
      Operation part = operation;
      if (!part.truncates && random.chance(0.2)) part.bytes.resize(random.below(part.bytes.size() + 1));
      write_into(content, part);
    }
    std::ofstream(to.string() + suffix, std::ios::binary | std::ios::trunc) << content;
  }
}

}  // namespace moddev::daemon::testing
