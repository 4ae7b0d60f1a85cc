#include "tests/support/world/toolchain.h"

#include <algorithm>
#include <array>

#include "tests/support/world/tiny_library.h"

namespace moddev::sim {
namespace {

constexpr std::array kPaths = {"libm0.so",   "libm1.so",   "libm2.so",   "sub/libm3.so",
                               "data/a.txt", "data/b.txt", "pkg/mod.py", "sub/deep/c.json"};
constexpr std::size_t kFormerKept = 4;

bool is_library(const std::string& path) {
  return path.ends_with(".so");
}

}  // namespace

Toolchain::Toolchain(Random random, watcher::testing::FakeFileSystem& files, Trace& trace)
    : random_(random), files_(files), trace_(trace) {}

std::string Toolchain::new_content(const std::string& path) {
  std::string number = std::to_string(next_content_++);
  number.insert(0, 8 - number.size(), '0');
  std::string text = "content " + number + " of " + path + "\n";
  // Mostly small; now and then more than travels inside an announcement.
  const std::size_t size = random_.chance(0.01)  ? 150'000 + random_.below(50'000)
                           : random_.chance(0.3) ? random_.below(3'000)
                                                 : 0;
  text.resize(text.size() + size, '.');
  if (!is_library(path)) return text;
  TinyLibrary library;
  library.soname = path.substr(path.rfind('/') + 1);
  // Each needs some of those before it: no cycles, and not always the same.
  for (const char* other : {"libm0.so", "libm1.so", "libm2.so"}) {
    if (library.soname == other) break;
    if (random_.chance(0.4)) library.needed.emplace_back(other);
  }
  library.payload = std::move(text);
  return build(library);
}

bool Toolchain::idle(const std::string& path) const {
  return std::ranges::none_of(jobs_, [&](const Job& job) { return job.path == path; });
}

std::string Toolchain::place_of(const std::string& path) const {
  return path.starts_with("sub/") && files_.inode_of("elsewhere") ? "elsewhere" + path.substr(3) : path;
}

void Toolchain::make_parents(const std::string& path) {
  for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (!files_.inode_of(parent)) files_.make_directory(parent);
  }
}

void Toolchain::begin(TimePoint now) {
  if (random_.chance(0.04)) return rename_something();
  begin_on(kPaths[random_.below(kPaths.size())], now);
}

void Toolchain::begin_build(TimePoint now) {
  for (const char* path : kPaths) {
    if (random_.chance(0.6)) begin_on(path, now);
  }
}

void Toolchain::begin_on(const std::string& usual_path, TimePoint now) {
  const std::string path = place_of(usual_path);
  if (!idle(path)) return;
  make_parents(path);
  Job job;
  job.path = path;
  job.style = static_cast<Style>(random_.below(8));
  const auto present = files_.content(path);
  if (job.style == Style::kUnlinked && !random_.chance(0.4)) job.style = Style::kInPlace;
  if (job.style == Style::kKilled && !is_library(path)) job.style = Style::kMold;
  if (job.style == Style::kStore &&
      (!stampless_stores || !present || present->empty() || damaged_.contains(path)))
    job.style = Style::kBfd;

  auto& former = former_[path];
  if (job.style == Style::kStore) {
    // The same length: the number in the text is another one.
    job.content = *present;
    const std::size_t at = job.content.find("content ");
    if (at == std::string::npos) {
      job.style = Style::kBfd;
    } else {
      std::string number = std::to_string(next_content_++);
      number.insert(0, 8 - number.size(), '0');
      job.content.replace(at + 8, 8, number);
    }
  }
  if (job.content.empty()) {
    const bool garbage = is_library(path) && job.style != Style::kKilled && random_.chance(0.05);
    if (garbage)
      job.content = "this is no library " + std::to_string(next_content_++);
    else if (!former.empty() && random_.chance(0.15))
      job.content = former[random_.below(former.size())];
    else if (present && !damaged_.contains(path) && job.style != Style::kKilled && random_.chance(0.1))
      job.content = *present;  // touch, or a build that changed nothing
    else
      job.content = new_content(path);
  }
  job.next = now;
  trace_("write", static_cast<std::uint64_t>(job.style), job.content.size());
  if (trace_.prints()) std::printf("              %s\n", path.c_str());
  jobs_.push_back(std::move(job));
}

void Toolchain::rename_something() {
  if (random_.chance(0.5)) {
    const bool a = files_.content("data/a.txt").has_value();
    const bool b = files_.content("data/b.txt").has_value();
    if (a == b || !idle("data/a.txt") || !idle("data/b.txt")) return;
    files_.rename(a ? "data/a.txt" : "data/b.txt", a ? "data/b.txt" : "data/a.txt");
    trace_("rename");
    return;
  }
  // A directory goes away and comes back under another name.
  for (const char* name : {"sub/libm3.so", "sub/deep/c.json"}) {
    const std::string path = place_of(name);
    if (!idle(path) || damaged_.contains(path)) return;
  }
  const bool there = files_.inode_of("sub").has_value();
  const bool moved = files_.inode_of("elsewhere").has_value();
  if (there == moved) return;
  files_.rename(there ? "sub" : "elsewhere", there ? "elsewhere" : "sub");
  trace_("rename directory");
}

TimePoint Toolchain::next() const {
  TimePoint next = kNever;
  for (const Job& job : jobs_) next = std::min(next, job.next);
  return next;
}

void Toolchain::step(TimePoint now) {
  for (std::size_t i = 0; i < jobs_.size();) {
    if (jobs_[i].next > now) {
      ++i;
      continue;
    }
    if (advance(jobs_[i])) {
      jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    jobs_[i].next =
        now + (random_.chance(0.1) ? random_.between(Duration::zero(), longest_pause)
                                   : random_.between(Duration::zero(), std::chrono::milliseconds(8)));
    ++i;
  }
}

void Toolchain::note(const std::string& path, const std::string& content) {
  finished_.insert(digest_of(std::string_view(content)));
  auto& former = former_[path];
  if (is_library(path) && !content.starts_with("\x7F")) {
    damaged_.insert(path);
    return;
  }
  damaged_.erase(path);
  if (former.size() < kFormerKept) former.push_back(content);
}

bool Toolchain::write_piece(Job& job) {
  const std::size_t left = job.content.size() - job.written;
  const std::size_t piece = random_.chance(0.4) ? left : std::min(left, 1 + random_.below(left));
  const std::string_view part = std::string_view(job.content).substr(job.written, piece);
  if (job.style == Style::kGold || job.style == Style::kStore)
    files_.store(job.writer, job.written, part);
  else
    files_.append(job.writer, part);
  job.written += piece;
  return job.written == job.content.size();
}

void Toolchain::close(Job& job) {
  note(job.path, job.content);
  files_.close(job.writer);
}

bool Toolchain::advance(Job& job) {
  const int stage = job.stage;
  switch (job.style) {
    case Style::kUnlinked:
      if (files_.content(job.path)) files_.remove(job.path);
      return true;
    case Style::kMold:
      if (stage == 0) {
        const std::size_t slash = job.path.rfind('/') + 1;
        job.writer = files_.begin_write(job.path.substr(0, slash) + ".mold-" + job.path.substr(slash));
        job.stage = 1;
        return false;
      }
      if (stage == 1) {
        if (write_piece(job)) job.stage = 2;
        return false;
      }
      if (stage == 2) {
        // mold removes the old file some moments before the rename.
        if (random_.chance(0.3) && files_.content(job.path)) files_.remove(job.path);
        job.stage = 3;
        return false;
      }
      {
        const std::size_t slash = job.path.rfind('/') + 1;
        note(job.path, job.content);
        files_.close(job.writer);
        files_.rename(job.path.substr(0, slash) + ".mold-" + job.path.substr(slash), job.path);
      }
      return true;
    case Style::kReopen:
      if (stage == 0) {
        job.writer = files_.begin_write(job.path);
        job.stage = 1;
        return false;
      }
      if (stage == 1) {
        files_.close(job.writer);
        job.stage = 2;
        return false;
      }
      if (stage == 2) {
        job.writer = files_.begin_write(job.path, false);
        job.stage = 3;
        return false;
      }
      break;
    default:
      if (stage == 0) {
        if (job.style == Style::kBfd || job.style == Style::kGold) {
          if (files_.content(job.path)) files_.remove(job.path);
        }
        job.writer = files_.begin_write(job.path, job.style != Style::kStore);
        if (job.style == Style::kGold) files_.preallocate(job.writer, job.content.size());
        job.stage = 1;
        return false;
      }
  }
  if (job.style == Style::kKilled) {
    // Either cut off, or complete but for the note, which comes last.
    const std::string torn = random_.chance(0.5) ? without_note(job.content)
                                                 : job.content.substr(0, random_.below(job.content.size()));
    files_.append(job.writer, torn);
    damaged_.insert(job.path);
    files_.close(job.writer);
    trace_("linker killed");
    return true;
  }
  if (!write_piece(job)) return false;
  close(job);
  if (job.style == Style::kBfd) files_.change_mode(job.path, true);
  return true;
}

void Toolchain::repair(TimePoint now) {
  while (!jobs_.empty()) {
    if (advance(jobs_.front())) jobs_.erase(jobs_.begin());
  }
  for (const std::string& path : std::set<std::string>(damaged_)) {
    const std::string content = new_content(path);
    make_parents(path);
    note(path, content);
    files_.write(path, content);
  }
  trace_("repaired", 0, static_cast<std::uint64_t>(now.time_since_epoch().count()));
}

void Toolchain::refresh_one(TimePoint /*now*/) {
  const std::string path = place_of(kPaths[random_.below(kPaths.size())]);
  make_parents(path);
  const std::string content = new_content(path);
  note(path, content);
  files_.write(path, content);
  trace_("refreshed");
}

std::map<std::string, Digest> Toolchain::directory() const {
  std::map<std::string, Digest> all;
  for (const auto& [path, content] : files_.all_files()) {
    const std::string name = path.substr(path.rfind('/') + 1);
    if (!name.starts_with('.')) all.emplace(path, digest_of(std::string_view(content)));
  }
  return all;
}

}  // namespace moddev::sim
