#include "watcher/tree.h"

#include <algorithm>

namespace moddev::watcher {
namespace {

auto position(std::vector<KnownFile>& files, std::string_view name) {
  return std::ranges::lower_bound(files, name, {},
                                  [](const KnownFile& f) { return std::string_view(f.name); });
}

/// The first key behind everything below `path`: '0' follows '/'.
std::string behind(std::string_view path) {
  return std::string(path) + '0';
}

}  // namespace

std::pair<std::string_view, std::string_view> Tree::split(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {std::string_view(), path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::string Tree::join(std::string_view directory, std::string_view name) {
  std::string path;
  path.reserve(directory.size() + 1 + name.size());
  path += directory;
  if (!path.empty()) path += '/';
  path += name;
  return path;
}

Tree::Directory& Tree::add_directory(const std::string& path) {
  return directories_[path];
}

Tree::Directory* Tree::directory(std::string_view path) {
  const auto found = directories_.find(path);
  return found == directories_.end() ? nullptr : &found->second;
}

std::vector<std::string> Tree::subtree(std::string_view path) const {
  std::vector<std::string> result;
  if (path.empty()) {
    for (const auto& [name, unused] : directories_) result.push_back(name);
    return result;
  }
  if (directories_.contains(path)) result.emplace_back(path);
  const auto end = directories_.lower_bound(behind(path));
  for (auto i = directories_.lower_bound(std::string(path) + '/'); i != end; ++i) result.push_back(i->first);
  return result;
}

std::vector<std::string> Tree::subdirectories(std::string_view path) const {
  std::vector<std::string> result;
  const std::string prefix = path.empty() ? std::string() : std::string(path) + '/';
  auto i = directories_.lower_bound(prefix);
  while (i != directories_.end() && i->first.starts_with(prefix)) {
    const std::string_view rest = std::string_view(i->first).substr(prefix.size());
    if (rest.empty()) {
      ++i;
      continue;
    }
    const std::size_t slash = rest.find('/');
    if (slash == std::string_view::npos) result.emplace_back(rest);
    // Everything below this child is behind it: skip it in one step.
    i = slash == std::string_view::npos
            ? std::next(i)
            : directories_.lower_bound(behind(prefix + std::string(rest.substr(0, slash))));
  }
  return result;
}

void Tree::remove_directory(std::string_view path) {
  const auto found = directories_.find(path);
  if (found == directories_.end()) return;
  file_count_ -= found->second.files.size();
  directories_.erase(found);
}

KnownFile* Tree::find(std::string_view path) {
  const auto [parent, name] = split(path);
  Directory* in = directory(parent);
  if (in == nullptr) return nullptr;
  const auto found = position(in->files, name);
  return found != in->files.end() && found->name == name ? &*found : nullptr;
}

KnownFile* Tree::add_file(std::string_view path) {
  const auto [parent, name] = split(path);
  Directory* in = directory(parent);
  if (in == nullptr) return nullptr;
  auto found = position(in->files, name);
  if (found != in->files.end() && found->name == name) return &*found;
  found = in->files.emplace(found);
  found->name = name;
  ++file_count_;
  return &*found;
}

void Tree::remove_file(std::string_view path) {
  const auto [parent, name] = split(path);
  Directory* in = directory(parent);
  if (in == nullptr) return;
  const auto found = position(in->files, name);
  if (found == in->files.end() || found->name != name) return;
  in->files.erase(found);
  --file_count_;
}

}  // namespace moddev::watcher
