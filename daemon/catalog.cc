#include "daemon/catalog.h"

#include <algorithm>

#include "daemon/limits.h"
#include "protocol/elf_image.h"

namespace moddev::daemon {
namespace {

/// How many digests' facts are remembered; beyond, the map is emptied and filled again by need.
constexpr std::size_t kMostFacts = 4096;

std::string file_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
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
    facts.refusal = "its bytes cannot be read back: " + bytes.error().message;
  } else if (!looks_like_elf(**bytes)) {
    facts.refusal = "it is not a shared library (it starts with '" + beginning(**bytes) + "')";
  } else if (auto image = read_elf(**bytes); !image) {
    facts.refusal = "it is not a shared library that can be read: " + image.error().message;
  } else if (image->type == ElfImage::Type::kExecutable) {
    facts.program = true;
  } else if (image->type != ElfImage::Type::kSharedLibrary) {
    facts.refusal = "it is an ELF file, but not a shared library";
  } else {
    facts.soname = image->soname;
    facts.needed = image->needed;
  }
  return facts_.emplace(digest, std::move(facts)).first->second;
}

const std::string* Catalog::choose(const std::string& name) const {
  const auto& paths = by_name_.find(name)->second;
  const std::string* chosen = nullptr;
  for (const auto& path : paths) {
    if (chosen == nullptr) {
      chosen = &path;
      continue;
    }
    const File& file = files_.at(path);
    const File& other = files_.at(*chosen);
    if (file.real_path != other.real_path) return nullptr;
    if (path.size() < chosen->size()) chosen = &path;
  }
  return chosen;
}

void Catalog::settle(const std::string& name, Outcome& outcome) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end() || found->second.empty()) {
    by_name_.erase(name);
    outcome.changed |= modules_.erase(name) > 0;
    return;
  }
  const std::string* path = choose(name);
  if (path == nullptr) {
    std::string all;
    for (const auto& one : found->second) all += (all.empty() ? "'" : ", '") + one + "'";
    outcome.rejections.push_back(
        {*found->second.rbegin(), "the module name '" + name + "' belongs to several files: " + all +
                                      "; rename or ignore all but one (the module stays as it was)"});
    return;
  }
  const File& file = files_.at(*path);
  const ModuleKind kind = identify_module(*path)->kind;
  // A program without an extension is a blob by its name; only its bytes tell.
  bool elf = kind == ModuleKind::kNative;
  if (kind == ModuleKind::kBlob) {
    const auto head = blobs_.read_range(file.digest, 0, 4);
    elf = head.ok() && looks_like_elf(*head);
  }
  if (elf) {
    const NativeFacts& facts = facts_of(file.digest);
    if (facts.program) return;
    if (kind == ModuleKind::kNative && !facts.refusal.empty()) {
      outcome.rejections.push_back({*path, facts.refusal});
      return;
    }
  }
  ModuleContent content;
  content.kind = kind;
  content.digest = file.digest;
  content.size = file.size;
  content.path = *path;
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

Catalog::Outcome Catalog::apply(const watcher::Batch& batch) {
  Outcome outcome;
  std::set<std::string> touched;
  for (const auto& change : batch.changes) {
    auto identity = identify_module(change.path);
    if (!identity) {
      if (!change.removed) outcome.rejections.push_back({change.path, identity.error().message});
      continue;
    }
    touched.insert(identity->name);
    if (change.removed) {
      files_.erase(change.path);
      if (const auto paths = by_name_.find(identity->name); paths != by_name_.end())
        paths->second.erase(change.path);
    } else {
      files_[change.path] = {change.real_path, change.digest, change.size};
      by_name_[identity->name].insert(change.path);
    }
  }
  for (const auto& name : touched) settle(name, outcome);
  if (outcome.changed) connect();
  return outcome;
}

void Catalog::add_digests(std::set<Digest>& to) const {
  for (const auto& [path, file] : files_) to.insert(file.digest);
  for (const auto& [name, module] : modules_) to.insert(module.digest);
}

}  // namespace moddev::daemon
