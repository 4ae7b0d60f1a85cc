#include "protocol/codec_values.h"

#include <algorithm>
#include <cstring>

namespace moddev::codec {
namespace {

/// Pairs of one map; ours have at most thirteen, a newer peer may add some.
constexpr std::size_t kMostPairs = 64;

}  // namespace

Result<Document> Document::parse(std::span<const std::byte> frame, std::size_t limit) {
  if (frame.size() > limit) {
    return Error{
        ErrorCode::kLimit,
        "a header of " + std::to_string(frame.size()) + " bytes; the limit is " + std::to_string(limit), 0};
  }
  // A declared count cannot be larger than the bytes that are there: every element takes at least one.
  const std::size_t most = frame.size();
  const msgpack::unpack_limit counts(std::min(most, limits::kModulesPerManifest), std::min(most, kMostPairs),
                                     most, most, 0, limits::kNestingDepth);
  const auto never_copy = [](msgpack::type::object_type, std::size_t, void*) { return true; };
  Document document;
  try {
    std::size_t offset = 0;
    document.handle_ = msgpack::unpack(reinterpret_cast<const char*>(frame.data()), frame.size(), offset,
                                       never_copy, nullptr, counts);
    if (offset != frame.size()) {
      return Error{ErrorCode::kCorrupt, std::to_string(frame.size() - offset) + " bytes behind the message",
                   0};
    }
  } catch (const msgpack::size_overflow& e) {
    return Error{ErrorCode::kLimit, std::string("the message goes beyond a limit: ") + e.what(), 0};
  } catch (const std::exception& e) {
    return Error{ErrorCode::kCorrupt, std::string("the message is no msgpack: ") + e.what(), 0};
  }
  if (document.handle_.get().type != msgpack::type::MAP) {
    return Error{ErrorCode::kCorrupt, "the message is no msgpack map", 0};
  }
  return document;
}

Reader Reader::at(std::string_view key, bool optional) const {
  const Reader missing(nullptr, problem_, key);
  if (object_ == nullptr) return missing;
  if (object_->type != msgpack::type::MAP) {
    fail(ErrorCode::kCorrupt, "is no map");
    return missing;
  }
  for (std::uint32_t i = 0; i < object_->via.map.size; ++i) {
    const auto& pair = object_->via.map.ptr[i];
    if (pair.key.type != msgpack::type::STR) continue;
    if (std::string_view(pair.key.via.str.ptr, pair.key.via.str.size) == key)
      return {&pair.val, problem_, key};
  }
  if (!optional) missing.fail(ErrorCode::kCorrupt, "is missing");
  return missing;
}

std::uint64_t Reader::number() const {
  if (object_ == nullptr) return 0;
  if (object_->type != msgpack::type::POSITIVE_INTEGER) {
    fail(ErrorCode::kCorrupt, "is no unsigned integer");
    return 0;
  }
  return object_->via.u64;
}

std::int64_t Reader::signed_number() const {
  if (object_ == nullptr) return 0;
  if (object_->type == msgpack::type::NEGATIVE_INTEGER) return object_->via.i64;
  const std::uint64_t value = number();
  if (value > static_cast<std::uint64_t>(INT64_MAX)) {
    fail(ErrorCode::kCorrupt, "does not fit into 64 bits with a sign");
    return 0;
  }
  return static_cast<std::int64_t>(value);
}

bool Reader::boolean() const {
  if (object_ == nullptr) return false;
  if (object_->type != msgpack::type::BOOLEAN) {
    fail(ErrorCode::kCorrupt, "is no boolean");
    return false;
  }
  return object_->via.boolean;
}

std::string Reader::text(std::size_t limit) const {
  if (object_ == nullptr) return {};
  if (object_->type != msgpack::type::STR) {
    fail(ErrorCode::kCorrupt, "is no string");
    return {};
  }
  if (object_->via.str.size > limit) {
    fail(ErrorCode::kLimit, "is longer than " + std::to_string(limit) + " bytes");
    return {};
  }
  const std::string_view value(object_->via.str.ptr, object_->via.str.size);
  if (!is_valid_utf8(value)) {
    fail(ErrorCode::kCorrupt, "is no valid UTF-8");
    return {};
  }
  return std::string(value);
}

void Reader::copy_binary(std::span<std::uint8_t> target) const {
  if (object_ == nullptr) return;
  if (object_->type != msgpack::type::BIN || object_->via.bin.size != target.size()) {
    fail(ErrorCode::kCorrupt, "is no binary of " + std::to_string(target.size()) + " bytes");
    return;
  }
  std::memcpy(target.data(), object_->via.bin.ptr, target.size());
}

Digest Reader::digest() const {
  Digest digest;
  copy_binary(digest.bytes);
  return digest;
}

Uuid Reader::uuid() const {
  Uuid uuid;
  copy_binary(uuid.bytes);
  return uuid;
}

std::vector<Reader> Reader::items(std::size_t limit) const {
  std::vector<Reader> readers;
  if (object_ == nullptr) return readers;
  if (object_->type != msgpack::type::ARRAY) {
    fail(ErrorCode::kCorrupt, "is no array");
    return readers;
  }
  if (object_->via.array.size > limit) {
    fail(ErrorCode::kLimit, "has more than " + std::to_string(limit) + " elements");
    return readers;
  }
  readers.reserve(object_->via.array.size);
  for (std::uint32_t i = 0; i < object_->via.array.size; ++i) {
    readers.emplace_back(&object_->via.array.ptr[i], problem_, where_);
  }
  return readers;
}

// -------------------------------------------------------------------------------------------------------
// shared values

void write(Writer& out, const DaemonId& id) {
  out.key("repo").binary(id.repo.bytes);
  out.key("incarnation").binary(id.incarnation.bytes);
}

DaemonId read_daemon(const Reader& map) {
  return {map.at("repo").uuid(), map.at("incarnation").uuid()};
}

void write(Writer& out, const ModuleEntry& module) {
  out.map(8);
  out.key("name").text(module.name);
  out.key("kind").text(to_string(module.kind));
  out.key("version").number(module.version);
  out.key("digest").binary(module.digest.bytes);
  out.key("size").number(module.size);
  out.key("path").text(module.path);
  out.key("depends_on").array(module.depends_on.size());
  for (const auto& name : module.depends_on) out.text(name);
  out.key("changed_at_ns").signed_number(module.changed_at_ns);
}

ModuleEntry read_module(const Reader& map) {
  ModuleEntry module;
  module.name = map.at("name").text(limits::kModuleNameBytes);
  if (map.present()) {
    if (auto valid = validate_module_name(module.name); !valid)
      map.at("name").fail(ErrorCode::kCorrupt, "is invalid");
  }
  const Reader kind = map.at("kind");
  if (const auto known = module_kind_from_string(kind.text())) {
    module.kind = *known;
  } else {
    kind.fail(ErrorCode::kUnsupported, "names a kind of module that is not known here");
  }
  module.version = map.at("version").number();
  module.digest = map.at("digest").digest();
  module.size = map.at("size").number();
  if (module.size > limits::kModuleBytes) map.at("size").fail(ErrorCode::kLimit, "is beyond the limit");
  module.path = map.at("path").text(limits::kPathBytes);
  if (map.present() && !validate_relative_path(module.path))
    map.at("path").fail(ErrorCode::kCorrupt, "is invalid");
  for (const auto& item : map.at("depends_on").items(limits::kDependenciesPerModule)) {
    module.depends_on.push_back(item.text(limits::kModuleNameBytes));
    if (!validate_module_name(module.depends_on.back()))
      item.fail(ErrorCode::kCorrupt, "has an invalid name");
  }
  module.changed_at_ns = map.at("changed_at_ns").signed_number();
  return module;
}

void write(Writer& out, const Manifest& manifest) {
  out.map(2);
  out.key("epoch").number(manifest.epoch);
  out.key("modules").array(manifest.modules.size());
  for (const auto& [name, module] : manifest.modules) write(out, module);
}

Manifest read_manifest(const Reader& map) {
  Manifest manifest;
  manifest.epoch = map.at("epoch").number();
  const Reader modules = map.at("modules");
  for (const auto& item : modules.items(limits::kModulesPerManifest)) {
    ModuleEntry module = read_module(item);
    std::string name = module.name;
    if (!manifest.modules.emplace(std::move(name), std::move(module)).second) {
      modules.fail(ErrorCode::kCorrupt, "has a module twice");
    }
  }
  return manifest;
}

void write(Writer& out, const std::vector<ModuleChange>& changes) {
  out.array(changes.size());
  for (const auto& change : changes) {
    out.map(2);
    out.key("change").text(to_string(change.change));
    write(out.key("module"), change.module);
  }
}

std::vector<ModuleChange> read_changes(const Reader& array) {
  std::vector<ModuleChange> changes;
  for (const auto& item : array.items(limits::kModulesPerManifest)) {
    ModuleChange change;
    const Reader kind = item.at("change");
    if (const auto known = change_kind_from_string(kind.text())) {
      change.change = *known;
    } else {
      kind.fail(ErrorCode::kCorrupt, "is no kind of change");
    }
    change.module = read_module(item.at("module"));
    changes.push_back(std::move(change));
  }
  return changes;
}

void write(Writer& out, const std::vector<PinReport>& pins) {
  const std::size_t count = std::min(pins.size(), limits::kPinsPerExecutor);
  out.array(count);
  for (const auto& pin : std::span(pins).first(count)) {
    out.map(3);
    out.key("epoch").number(pin.epoch);
    out.key("age_ms").signed_number(pin.age_ms);
    out.key("count").number(pin.count);
  }
}

std::vector<PinReport> read_pins(const Reader& array) {
  std::vector<PinReport> pins;
  for (const auto& item : array.items(limits::kPinsPerExecutor)) {
    pins.push_back({item.at("epoch").number(), item.at("age_ms").signed_number(), item.at("count").number()});
  }
  return pins;
}

void write(Writer& out, const ExecutorIdentity& identity) {
  out.map(4);
  out.key("id").binary(identity.id.bytes);
  out.key("name").free_text(identity.name, limits::kModuleNameBytes);
  out.key("host").free_text(identity.host, limits::kModuleNameBytes);
  out.key("pid").signed_number(identity.pid);
}

ExecutorIdentity read_identity(const Reader& map) {
  return {map.at("id").uuid(), map.at("name").text(limits::kModuleNameBytes),
          map.at("host").text(limits::kModuleNameBytes), map.at("pid").signed_number()};
}

void write(Writer& out, const std::optional<SignedStatement>& statement) {
  if (statement) out.key("statement").binary(statement->bytes);
}

std::optional<SignedStatement> read_statement(const Reader& map) {
  const Reader statement = map.at("statement", true);
  if (!statement.present()) return std::nullopt;
  return SignedStatement{statement.binary<SignedStatement::kBytes>()};
}

void write(Writer& out, const AnnounceEvent& announce) {
  out.map(4 + pairs_of(announce.statement));
  out.key("epoch").number(announce.epoch);
  out.key("base").number(announce.base);
  out.key("manifest_digest").binary(announce.manifest_digest.bytes);
  write(out.key("changes"), announce.changes);
  write(out, announce.statement);
}

AnnounceEvent read_announce(const Reader& map) {
  AnnounceEvent announce;
  announce.epoch = map.at("epoch").number();
  announce.base = map.at("base").number();
  announce.manifest_digest = map.at("manifest_digest").digest();
  announce.changes = read_changes(map.at("changes"));
  announce.statement = read_statement(map);
  return announce;
}

ExecutorState read_state(const Reader& text) {
  if (const auto known = executor_state_from_string(text.text())) return *known;
  if (text.present()) text.fail(ErrorCode::kCorrupt, "is no state of an executor");
  return ExecutorState::kLive;
}

}  // namespace moddev::codec
