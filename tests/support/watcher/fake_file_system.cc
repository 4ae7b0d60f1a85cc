#include "tests/support/watcher/fake_file_system.h"

#include <algorithm>

namespace moddev::watcher::testing {

using Kind = WatchEvent::Kind;

namespace {
constexpr int kLinkDepth = 8;

Error not_found(const std::string& path) {
  return Error{ErrorCode::kNotFound, "'" + path + "' does not exist", ENOENT};
}
}  // namespace

struct FakeFileSystem::Node {
  FileType type = FileType::kRegular;
  std::uint64_t inode = 0;
  std::string content;  // of a symlink: its target
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::uint32_t links = 1;
  bool executable = false;
  int writers = 0;
  std::map<std::string, NodePtr> children;
  std::set<bool*> leases;  // flags of holders: set to true when broken
};

class FakeFileSystem::File final : public OpenFile {
 public:
  File(FakeFileSystem& world, NodePtr node) : world_(world), node_(std::move(node)) {}
  ~File() override { node_->leases.erase(&broken_); }
  Result<FileStat> stat() override { return world_.stat_of(*node_); }
  LeaseState take_lease() override {
    if (!world_.leases_) return LeaseState::kUnsupported;
    if (node_->writers > 0) return LeaseState::kWriters;
    node_->leases.insert(&broken_);
    return LeaseState::kHeld;
  }
  LeaseState lease() override { return broken_ ? LeaseState::kBroken : LeaseState::kHeld; }
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    if (world_.before_read) world_.before_read(offset);
    const std::string& content = node_->content;
    if (offset >= content.size()) return std::size_t{0};
    const std::size_t count = std::min(buffer.size(), content.size() - static_cast<std::size_t>(offset));
    std::ranges::copy(as_bytes(content).subspan(static_cast<std::size_t>(offset), count), buffer.begin());
    return count;
  }

 private:
  FakeFileSystem& world_;
  NodePtr node_;
  bool broken_ = false;
};

FakeFileSystem::FakeFileSystem() : root_(make_node(FileType::kDirectory)) {}
FakeFileSystem::~FakeFileSystem() = default;

FakeFileSystem::NodePtr FakeFileSystem::make_node(FileType type) {
  auto node = std::make_shared<Node>();
  node->type = type;
  node->inode = next_inode_++;
  node->mtime_ns = node->ctime_ns = time_ns_;
  return node;
}

FakeFileSystem::NodePtr FakeFileSystem::walk(const std::string& path, bool follow_last, int depth) const {
  if (depth > kLinkDepth) return nullptr;
  if (path.starts_with('/')) {
    const auto found = outside_.find(path);
    return found == outside_.end() ? nullptr : found->second;
  }
  NodePtr node = root_;
  std::string walked;
  std::size_t at = 0;
  while (node != nullptr && at < path.size()) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string name = path.substr(at, slash - at);
    at = slash + 1;
    if (node->type != FileType::kDirectory) return nullptr;
    const auto child = node->children.find(name);
    if (child == node->children.end()) return nullptr;
    node = child->second;
    if (node->type == FileType::kSymlink && (follow_last || at < path.size())) {
      const std::string base = walked.empty() ? "" : walked + "/";
      node = walk(node->content.starts_with('/') ? node->content : base + node->content, true, depth + 1);
    }
    walked += (walked.empty() ? "" : "/") + name;
  }
  return node;
}

FakeFileSystem::NodePtr FakeFileSystem::existing(const std::string& path) const {
  NodePtr node = walk(path, true);
  MODDEV_ASSERT(node != nullptr, "the test uses '" + path + "', which is not there");
  return node;
}

std::pair<FakeFileSystem::NodePtr, std::string> FakeFileSystem::parent_of(const std::string& path) const {
  const std::size_t slash = path.rfind('/');
  NodePtr parent = slash == std::string::npos ? root_ : walk(path.substr(0, slash), true);
  MODDEV_ASSERT(parent != nullptr && parent->type == FileType::kDirectory, "no directory for '" + path + "'");
  return {parent, slash == std::string::npos ? path : path.substr(slash + 1)};
}

void FakeFileSystem::emit(Kind kind, const std::string& path, const std::string& target) {
  if (on_event) on_event({kind, path, target});
}

void FakeFileSystem::break_leases(Node& node) {
  for (bool* broken : node.leases) *broken = true;
  node.leases.clear();
}

void FakeFileSystem::touch_content(Node& node) {
  break_leases(node);
  node.mtime_ns = node.ctime_ns = time_ns_;
}

void FakeFileSystem::make_directory(const std::string& path) {
  auto [parent, name] = parent_of(path);
  MODDEV_ASSERT(!parent->children.contains(name), "'" + path + "' exists");
  parent->children[name] = make_node(FileType::kDirectory);
  emit(Kind::kDirectory, path);
}

void FakeFileSystem::write(const std::string& path, std::string_view content) {
  const WriterId writer = begin_write(path);
  append(writer, content);
  close(writer);
}

void FakeFileSystem::replace(const std::string& path, std::string_view content) {
  const std::size_t slash = path.rfind('/');
  const std::string temporary =
      (slash == std::string::npos ? std::string() : path.substr(0, slash + 1)) + ".mold-fake";
  write(temporary, content);
  rename(temporary, path);
}

FakeFileSystem::WriterId FakeFileSystem::begin_write(const std::string& path, bool truncate) {
  NodePtr node = walk(path, true);
  if (node == nullptr) {
    auto [parent, name] = parent_of(path);
    node = parent->children[name] = make_node(FileType::kRegular);
    emit(Kind::kChanged, path);
  } else if (truncate && !node->content.empty()) {
    node->content.clear();
    touch_content(*node);
    emit(Kind::kChanged, path);
  }
  break_leases(*node);
  ++node->writers;
  writers_[next_writer_] = {node, path};
  return next_writer_++;
}

void FakeFileSystem::append(WriterId writer, std::string_view content) {
  OpenWriter& open = writers_.at(writer);
  open.node->content += content;
  touch_content(*open.node);
  emit(Kind::kChanged, open.path);
}

void FakeFileSystem::store(WriterId writer, std::size_t offset, std::string_view content) {
  Node& node = *writers_.at(writer).node;
  MODDEV_ASSERT(offset + content.size() <= node.content.size(), "a mapping does not grow a file");
  node.content.replace(offset, content.size(), content);
}

void FakeFileSystem::preallocate(WriterId writer, std::size_t size) {
  OpenWriter& open = writers_.at(writer);
  open.node->content.resize(size);
  touch_content(*open.node);
  emit(Kind::kChanged, open.path);
}

void FakeFileSystem::close(WriterId writer) {
  const OpenWriter open = writers_.at(writer);
  writers_.erase(writer);
  --open.node->writers;
  // IN_EXCL_UNLINK: nobody hears of a file that lost its name.
  if (walk(open.path, true) == open.node) emit(Kind::kClosedWrite, open.path);
}

void FakeFileSystem::truncate(const std::string& path, std::size_t size) {
  const NodePtr node = existing(path);
  node->content.resize(size);
  touch_content(*node);
  emit(Kind::kChanged, path);
}

void FakeFileSystem::change_mode(const std::string& path, bool executable) {
  const NodePtr node = existing(path);
  node->executable = executable;
  node->ctime_ns = time_ns_;
  emit(node->type == FileType::kDirectory ? Kind::kDirectory : Kind::kAttributes, path);
}

void FakeFileSystem::set_mtime(const std::string& path, std::int64_t ns) {
  const NodePtr node = existing(path);
  node->mtime_ns = ns;
  node->ctime_ns = time_ns_;
  emit(Kind::kAttributes, path);
}

void FakeFileSystem::rename(const std::string& from, const std::string& to) {
  auto [old_parent, old_name] = parent_of(from);
  auto [new_parent, new_name] = parent_of(to);
  const auto found = old_parent->children.find(old_name);
  MODDEV_ASSERT(found != old_parent->children.end(), "'" + from + "' is not there");
  const NodePtr node = found->second;
  old_parent->children.erase(found);
  new_parent->children[new_name] = node;
  node->ctime_ns = time_ns_;
  for (auto& [id, open] : writers_) {
    if (open.node == node && open.path == from) open.path = to;
  }
  emit(Kind::kRenamedAway, from, to);
  emit(node->type == FileType::kDirectory ? Kind::kDirectory : Kind::kChanged, to);
}

void FakeFileSystem::exchange(const std::string& a, const std::string& b) {
  auto [parent_a, name_a] = parent_of(a);
  auto [parent_b, name_b] = parent_of(b);
  std::swap(parent_a->children.at(name_a), parent_b->children.at(name_b));
  const auto appeared = [this](const std::string& path) {
    emit(walk(path, false)->type == FileType::kDirectory ? Kind::kDirectory : Kind::kChanged, path);
  };
  emit(Kind::kRenamedAway, a, b);
  appeared(b);
  emit(Kind::kRenamedAway, b, a);
  appeared(a);
}

void FakeFileSystem::remove(const std::string& path) {
  const NodePtr node = walk(path, false);
  MODDEV_ASSERT(node != nullptr, "'" + path + "' is not there");
  if (node->type == FileType::kDirectory) {
    std::vector<std::string> names;
    for (const auto& [name, child] : node->children) names.push_back(name);
    for (const std::string& name : names) remove(path + "/" + name);
  }
  auto [parent, name] = parent_of(path);
  parent->children.erase(name);
  --node->links;
  emit(Kind::kRemoved, path);
}

void FakeFileSystem::symlink(const std::string& target, const std::string& path) {
  auto [parent, name] = parent_of(path);
  MODDEV_ASSERT(!parent->children.contains(name), "'" + path + "' exists");
  const NodePtr node = parent->children[name] = make_node(FileType::kSymlink);
  node->content = target;
  emit(Kind::kChanged, path);
}

void FakeFileSystem::hard_link(const std::string& from, const std::string& to) {
  const NodePtr node = existing(from);
  auto [parent, name] = parent_of(to);
  parent->children[name] = node;
  ++node->links;
  node->ctime_ns = time_ns_;
  emit(Kind::kAttributes, from);
  emit(Kind::kChanged, to);
}

void FakeFileSystem::write_unseen(const std::string& path, std::string_view content) {
  const NodePtr node = existing(path);
  node->content = content;
  touch_content(*node);
}

void FakeFileSystem::remove_root() {
  std::vector<std::string> names;
  for (const auto& [name, child] : root_->children) names.push_back(name);
  for (const std::string& name : names) remove(name);
  root_ = nullptr;
  emit(Kind::kRootGone, "");
}

void FakeFileSystem::restore_root() {
  MODDEV_ASSERT(root_ == nullptr, "the root is there");
  root_ = make_node(FileType::kDirectory);
}

void FakeFileSystem::write_outside(const std::string& absolute, std::string_view content) {
  NodePtr& node = outside_[absolute];
  if (node == nullptr) node = make_node(FileType::kRegular);
  node->content = content;
  touch_content(*node);
  emit(Kind::kClosedWrite, absolute);
}

void FakeFileSystem::deny(const std::string& path, bool denied) {
  if (denied) {
    denied_.insert(path);
  } else {
    denied_.erase(path);
  }
  const NodePtr node = walk(path, false);
  if (node == nullptr) return;
  node->ctime_ns = time_ns_;
  emit(node->type == FileType::kDirectory ? Kind::kDirectory : Kind::kAttributes, path);
}

std::optional<std::string> FakeFileSystem::content(const std::string& path) const {
  const NodePtr node = walk(path, true);
  if (node == nullptr || node->type != FileType::kRegular) return std::nullopt;
  return node->content;
}

void FakeFileSystem::collect(const NodePtr& directory, const std::string& prefix,
                             std::map<std::string, std::string>& files) const {
  for (const auto& [name, child] : directory->children) {
    const std::string path = prefix + name;
    if (child->type == FileType::kDirectory) collect(child, path + "/", files);
    if (child->type == FileType::kRegular) files[path] = child->content;
    if (child->type != FileType::kSymlink) continue;
    const Result<std::string> target = follow(path, 0);
    const NodePtr node = target ? walk(*target, true) : nullptr;
    if (node != nullptr && !target->starts_with('/') && node->type == FileType::kRegular)
      files[path] = node->content;
  }
}

std::map<std::string, std::string> FakeFileSystem::all_files() const {
  std::map<std::string, std::string> files;
  if (root_ != nullptr) collect(root_, "", files);
  return files;
}

bool FakeFileSystem::has_writers(const std::string& path) const {
  const NodePtr node = walk(path, true);
  return node != nullptr && node->writers > 0;
}

std::optional<std::uint64_t> FakeFileSystem::inode_of(const std::string& path) const {
  const NodePtr node = walk(path, false);
  if (node == nullptr) return std::nullopt;
  return node->inode;
}

FileStat FakeFileSystem::stat_of(const Node& node) const {
  FileStat stat;
  stat.type = node.type;
  stat.device = 1;
  stat.inode = node.inode;
  stat.size = node.content.size();
  stat.mtime_ns = node.mtime_ns;
  stat.ctime_ns = node.ctime_ns;
  stat.links = node.links;
  stat.executable = node.executable;
  return stat;
}

Result<FileStat> FakeFileSystem::stat(const std::string& path) {
  const NodePtr node = walk(path, true);
  if (node == nullptr) return not_found(path);
  return stat_of(*node);
}

Result<FileStat> FakeFileSystem::lstat(const std::string& path) {
  const NodePtr node = walk(path, false);
  if (node == nullptr) return not_found(path);
  return stat_of(*node);
}

Result<std::vector<DirectoryEntry>> FakeFileSystem::list(const std::string& path) {
  const NodePtr node = walk(path, true);
  if (node == nullptr || node->type != FileType::kDirectory) return not_found(path);
  if (denied_.contains(path)) return Error{ErrorCode::kPermission, "'" + path + "' cannot be listed", EACCES};
  std::vector<DirectoryEntry> entries;
  for (const auto& [name, child] : node->children) entries.push_back({name, child->type});
  return entries;
}

Result<std::unique_ptr<OpenFile>> FakeFileSystem::open(const std::string& path) {
  ++opens_;
  if (before_open) before_open(path);
  const NodePtr node = walk(path, false);
  if (node == nullptr) return not_found(path);
  if (failing_opens_ > 0) {
    --failing_opens_;
    return Error{ErrorCode::kIo, "'" + path + "' cannot be read: Input/output error", EIO};
  }
  if (node->type != FileType::kRegular)
    return Error{ErrorCode::kConflict, "'" + path + "' is not a regular file", 0};
  if (denied_.contains(path)) return Error{ErrorCode::kPermission, "'" + path + "' cannot be read", EACCES};
  opened_.insert(path);
  return std::unique_ptr<OpenFile>(std::make_unique<File>(*this, node));
}

Result<std::string> FakeFileSystem::follow(const std::string& path, int depth) const {
  if (depth > kLinkDepth) return Error{ErrorCode::kIo, "'" + path + "' leads in circles", ELOOP};
  if (path.starts_with('/')) {
    if (walk(path, true) == nullptr) return not_found(path);
    return path;
  }
  // Part by part, so that links to directories on the way are followed too.
  std::string resolved;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string base = resolved.empty() ? "" : resolved + "/";
    resolved = base + path.substr(at, slash - at);
    at = slash + 1;
    const NodePtr node = walk(resolved, false);
    if (node == nullptr) return not_found(path);
    if (node->type != FileType::kSymlink) continue;
    const std::string next = node->content.starts_with('/') ? node->content : base + node->content;
    Result<std::string> target = follow(next, depth + 1);
    if (!target) return target;
    resolved = *target;
  }
  return resolved;
}

Result<std::string> FakeFileSystem::resolve(const std::string& path) {
  return follow(path, 0);
}

Status FakeFileSystem::create_cookie(const std::string& path) {
  if (cookies_refused_ || root_ == nullptr)
    return Error{ErrorCode::kPermission, "'" + path + "' cannot be created", EACCES};
  if (walk(path, false) != nullptr) return Error{ErrorCode::kAlreadyExists, "'" + path + "' exists", EEXIST};
  write(path, "");
  return {};
}

Status FakeFileSystem::remove_cookie(const std::string& path) {
  if (walk(path, false) != nullptr) remove(path);
  return {};
}

}  // namespace moddev::watcher::testing
