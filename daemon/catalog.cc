#include "daemon/catalog.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "daemon/limits.h"
#include "protocol/elf_image.h"

namespace moddev::daemon {
namespace {

/// How many digests' facts are remembered; beyond, the map is emptied and filled again by need.
constexpr std::size_t kMostFacts = 4096;

std::string file_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string_view directory_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

/// The first bytes of a file that is no library, made printable.
std::string beginning(const Bytes& bytes) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(bytes.size(), 16); ++i) {
    const char c = static_cast<char>(bytes[i]);
    text.push_back(c >= 0x20 && c < 0x7F ? c : '.');
  }
  return text;
}

}  // namespace

Catalog::Catalog(CatalogOptions options, BlobStore& blobs) : options_(std::move(options)), blobs_(blobs) {}

const Catalog::NativeFacts& Catalog::facts_of(const Digest& digest) {
  if (const auto known = facts_.find(digest); known != facts_.end()) return known->second;
  if (facts_.size() >= kMostFacts) facts_.clear();
  NativeFacts facts;
  auto bytes = blobs_.read(digest);
  if (!bytes) {
    unread_.refusal = "its bytes cannot be read back: " + bytes.error().message;
    return unread_;
  }
  if (!looks_like_elf(**bytes)) {
    facts.refusal = "it is not a shared library (it starts with '" + beginning(**bytes) + "')";
  } else if (auto image = read_elf(**bytes); !image) {
    facts.refusal = "it is not a shared library that can be read: " + image.error().message;
  } else if (image->type == ElfImage::Type::kExecutable) {
    facts.program = true;
    facts.refusal = "it is a program, not a shared library; link it with -shared, or name it otherwise";
  } else if (image->type != ElfImage::Type::kSharedLibrary) {
    facts.refusal = "it is an ELF file, but not a shared library";
  } else {
    facts.soname = image->soname;
    facts.needed = image->needed;
  }
  return facts_.emplace(digest, std::move(facts)).first->second;
}

/// Within one directory a link stands for the versions beside it: libver.so for libver.so.1 and libver.so.2.
const std::string* Catalog::choose_beside(const std::vector<const std::string*>& paths) const {
  const std::string* shortest = paths.front();
  bool one_file = true;
  for (const std::string* path : paths) {
    one_file = one_file && files_.at(*path).real_path == files_.at(*paths.front()).real_path;
    if (path->size() < shortest->size()) shortest = path;
  }
  if (one_file) return shortest;
  const bool alone =
      std::ranges::count(paths, shortest->size(), [](const auto* p) { return p->size(); }) == 1;
  return alone && files_.at(*shortest).real_path != *shortest ? shortest : nullptr;
}

const std::string* Catalog::choose(const std::vector<const std::string*>& paths) const {
  std::map<std::string_view, std::vector<const std::string*>> by_directory;
  for (const std::string* path : paths) by_directory[directory_of(*path)].push_back(path);
  const std::string* chosen = nullptr;
  for (const auto& [directory, beside] : by_directory) {
    const std::string* path = choose_beside(beside);
    if (path == nullptr) return nullptr;
    if (chosen != nullptr && files_.at(*path).real_path != files_.at(*chosen).real_path) return nullptr;
    if (chosen == nullptr || path->size() < chosen->size()) chosen = path;
  }
  return chosen;
}

void Catalog::settle(const std::string& name, const IsAway& is_away, TimePoint since, Outcome& outcome) {
  provisional_.erase(name);
  const auto found = by_name_.find(name);
  if (found == by_name_.end() || found->second.empty()) {
    by_name_.erase(name);
    return drop(name, outcome);
  }
  std::vector<const std::string*> there;
  for (const std::string& path : found->second) {
    if (!is_away(path)) there.push_back(&path);
  }
  if (there.size() < found->second.size()) provisional_[name] = since;
  if (there.empty()) return;  // nothing is decided yet
  const std::string* path = choose(there);
  if (path == nullptr) {
    std::string all;
    for (const auto& one : found->second) all += (all.empty() ? "'" : ", '") + one + "'";
    refuse(name,
           {*found->second.rbegin(),
            "the module name '" + name + "' belongs to several files: " + all +
                "; rename or ignore all but one (the module stays as it was)",
            since},
           outcome);
    return keep(name, outcome);
  }
  const File& file = files_.at(*path);
  if (file.doubtful) {  // the watcher has said why
    refusals_.erase(name);
    return keep(name, outcome);
  }
  const ModuleKind kind = identify_module(*path)->kind;
  // A program without an extension is a blob by its name; only its bytes tell.
  const auto have = modules_.find(name);
  const bool accepted =
      have != modules_.end() && have->second.digest == file.digest && have->second.kind == kind;
  if (accepted) return take(name, *path, kind, outcome);
  bool elf = kind == ModuleKind::kNative;
  if (kind == ModuleKind::kBlob) {
    const auto head = blobs_.read_range(file.digest, 0, 4);
    elf = head.ok() && looks_like_elf(*head);
  }
  if (elf) {
    const NativeFacts& facts = facts_of(file.digest);
    if (kind == ModuleKind::kNative && !facts.refusal.empty()) {
      refuse(name, {*path, facts.refusal, since}, outcome);
      return keep(name, outcome);
    }
    if (facts.program) return drop(name, outcome);
  }
  take(name, *path, kind, outcome);
}

void Catalog::take(const std::string& name, const std::string& path, ModuleKind kind, Outcome& outcome) {
  outcome.kept_changed |= kept_.erase(name) > 0;
  refusals_.erase(name);
  const File& file = files_.at(path);
  ModuleContent content;
  content.kind = kind;
  content.digest = file.digest;
  content.size = file.size;
  content.path = path;
  const auto have = modules_.find(name);
  if (have == modules_.end()) {
    modules_.emplace(name, std::move(content));
    outcome.changed = true;
  } else if (have->second.digest != content.digest || have->second.kind != content.kind ||
             have->second.path != content.path) {
    have->second = std::move(content);
    outcome.changed = true;
  }
}

void Catalog::drop(const std::string& name, Outcome& outcome) {
  outcome.kept_changed |= kept_.erase(name) > 0;
  refusals_.erase(name);
  outcome.changed |= modules_.erase(name) > 0;
}

void Catalog::keep(const std::string& name, Outcome& outcome) {
  outcome.kept_changed |= kept_.insert(name).second;
}

void Catalog::refuse(const std::string& key, Refusal refusal, Outcome& outcome) {
  Refusal& known = refusals_[key];
  if (known.path != refusal.path || known.reason != refusal.reason)
    outcome.rejections.push_back({refusal.path, refusal.reason});
  known = std::move(refusal);
}

void Catalog::connect() {
  // A library is needed by the name in its SONAME, or by its file's name where it has none.
  std::map<std::string, std::string> provider;
  for (const auto& [name, content] : modules_) {
    if (content.kind != ModuleKind::kNative) continue;
    const NativeFacts& facts = facts_of(content.digest);
    provider.emplace(facts.soname.empty() ? file_name(content.path) : facts.soname, name);
  }
  for (auto& [name, content] : modules_) {
    std::set<std::string> needs;
    if (content.kind == ModuleKind::kNative) {
      for (const auto& library : facts_of(content.digest).needed) {
        const auto found = provider.find(file_name(library));
        if (found != provider.end() && found->second != name) needs.insert(found->second);
      }
    }
    if (const auto extra = options_.extra_dependencies.find(name);
        extra != options_.extra_dependencies.end()) {
      for (const auto& needed : extra->second) {
        if (modules_.contains(needed) && needed != name) needs.insert(needed);
      }
    }
    content.depends_on.assign(needs.begin(), needs.end());
  }
}

void Catalog::remember(const std::string& name, const ModuleContent& content) {
  files_[content.path] = {content.path, content.digest, content.size, true};
  by_name_[name].insert(content.path);
  modules_.insert_or_assign(name, content);
  kept_.insert(name);
}

Catalog::Outcome Catalog::apply(const watcher::Batch& batch, const IsAway& is_away) {
  Outcome outcome;
  std::map<std::string, TimePoint> touched;
  for (const auto& change : batch.changes) {
    auto identity = identify_module(change.path);
    if (!identity) {
      if (change.removed)
        refusals_.erase(change.path);
      else
        refuse(change.path, {change.path, identity.error().message, change.noticed_at}, outcome);
      continue;
    }
    touched[identity->name] = change.noticed_at;
    if (change.removed) {
      files_.erase(change.path);
      if (const auto paths = by_name_.find(identity->name); paths != by_name_.end())
        paths->second.erase(change.path);
    } else {
      files_[change.path] = {change.real_path, change.digest, change.size};
      by_name_[identity->name].insert(change.path);
    }
  }
  for (const auto& [name, since] : touched) settle(name, is_away, since, outcome);
  if (outcome.changed) connect();
  return outcome;
}

Catalog::Outcome Catalog::doubt(const std::string& path, const IsAway& is_away) {
  Outcome outcome;
  const auto file = files_.find(path);
  if (file == files_.end() || std::exchange(file->second.doubtful, true)) return outcome;
  settle(identify_module(path)->name, is_away, {}, outcome);
  return outcome;
}

Catalog::Outcome Catalog::look_again(const IsAway& is_away) {
  Outcome outcome;
  for (const auto& [name, since] : std::map(provisional_)) {
    const auto& paths = by_name_.at(name);
    if (std::none_of(paths.begin(), paths.end(), is_away)) settle(name, is_away, since, outcome);
  }
  if (outcome.changed) connect();
  return outcome;
}

std::vector<watcher::Unpublished> Catalog::unpublished() const {
  std::vector<watcher::Unpublished> all;
  for (const auto& [key, refusal] : refusals_)
    all.push_back({refusal.path, refusal.reason, watcher::Unpublished::Why::kRefused, refusal.since});
  return all;
}

void Catalog::add_digests(std::set<Digest>& to) const {
  for (const auto& [path, file] : files_) to.insert(file.digest);
  for (const auto& [name, module] : modules_) to.insert(module.digest);
}

}  // namespace moddev::daemon
