#include "tools/moddev/retained_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "client/src/image_cache.h"
#include "daemon/journal_lookup.h"
#include "protocol/blob_store.h"
#include "protocol/descriptor.h"
#include "protocol/elf_file.h"
#include "protocol/name_match.h"
#include "tools/moddev/places.h"

namespace moddev::tools {
namespace {

namespace fs = std::filesystem;

/// The build-id of an ELF file, hexadecimal; empty when it is none or has none.
std::string build_id_of(const fs::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (file.get() < 0 || ::fstat(file.get(), &info) != 0 || info.st_size == 0) return {};
  const auto size = static_cast<std::size_t>(info.st_size);
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) return {};
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(mapped), size);
  std::string digits;
  if (const auto elf = elf::File::open(bytes)) {
    constexpr std::string_view kHex = "0123456789abcdef";
    for (const std::byte byte : elf->build_id()) {
      digits += kHex[std::to_integer<unsigned>(byte) >> 4U];
      digits += kHex[std::to_integer<unsigned>(byte) & 15U];
    }
  }
  ::munmap(mapped, size);
  return digits;
}

std::string file_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::string named(const KnownVersion& known) {
  return known.module + "@" + std::to_string(known.version);
}

}  // namespace

RetainedFiles::RetainedFiles(std::vector<fs::path> states, std::vector<fs::path> caches) {
  std::error_code error;
  for (const fs::path& state : states) {
    if (fs::exists(state / "blobs", error)) stores_.push_back(state / "blobs");
    if (fs::exists(state / "journal.sqlite", error)) read_journal(state);
  }
  for (const fs::path& cache : caches) {
    if (fs::exists(cache / "blobs", error)) stores_.push_back(cache / "blobs");
  }
}

void RetainedFiles::read_journal(const fs::path& state) {
  std::set<std::pair<std::string, Version>> seen;
  std::map<std::string, Digest, std::less<>> closures;
  const Status read = daemon::visit_journal(state / "journal.sqlite", [&](const Manifest& manifest) {
    for (const auto& [name, module] : manifest.modules) {
      if (module.kind != ModuleKind::kNative) {
        if (seen.emplace(name, module.version).second) {
          versions_.push_back({name, module.version, module.digest, file_name(module.path)});
        }
        continue;
      }
      // A private copy is named by the module with what it depends on, so also by versions of others.
      const auto key = closure_digest(manifest, name);
      if (key && closures[name] != *key) {
        closures[name] = *key;
        images_.emplace(image_file_name(file_name(module.path), key->hex().substr(0, kImageKeyDigits)),
                        module.digest);
      }
      if (seen.emplace(name, module.version).second) {
        versions_.push_back({name, module.version, module.digest, file_name(module.path)});
      }
    }
  });
  if (!read) problems_.push_back(read.error().message);
}

Result<RetainedFile> RetainedFiles::file_of(const Digest& digest) const {
  Error why{ErrorCode::kNotFound, "its bytes " + digest.to_string() + " are not kept any more", 0};
  for (const fs::path& store_path : stores_) {
    const auto store = DirectoryBlobStore::open(store_path);
    if (!store || !(*store)->contains(digest)) continue;
    if (const auto bytes = (*store)->read(digest); !bytes) {
      why = bytes.error();
      continue;
    }
    RetainedFile file;
    file.path = (*store)->path_of(digest);
    file.build_id = build_id_of(file.path);
    if (const auto known = versions_of(digest); !known.empty()) {
      file.module = known.front().module;
      file.version = known.front().version;
    }
    return file;
  }
  return why;
}

std::vector<KnownVersion> RetainedFiles::versions_of(const Digest& digest) const {
  std::vector<KnownVersion> found;
  std::copy_if(versions_.begin(), versions_.end(), std::back_inserter(found),
               [&](const KnownVersion& known) { return known.digest == digest; });
  std::stable_sort(found.begin(), found.end(),
                   [](const KnownVersion& a, const KnownVersion& b) { return a.version > b.version; });
  return found;
}

Result<RetainedFile> RetainedFiles::by_build_id(std::string_view digits) const {
  const std::string wanted = lower(digits);
  std::map<std::string, Digest> found;
  for (const fs::path& store_path : stores_) {
    const auto store = DirectoryBlobStore::open(store_path);
    if (!store) continue;
    const auto digests = (*store)->list();
    if (!digests) continue;
    for (const Digest& digest : *digests) {
      const std::string build_id = build_id_of((*store)->path_of(digest));
      if (build_id.starts_with(wanted)) found.emplace(build_id, digest);
    }
  }
  if (found.empty()) {
    return Error{ErrorCode::kNotFound,
                 "No file with build-id " + wanted + " is kept on this machine: neither by a daemon below " +
                     "the state directory nor in the executors' cache.",
                 0};
  }
  if (found.size() > 1) {
    std::string names;
    std::size_t told = 0;
    for (const auto& [build_id, digest] : found) {
      if (told++ == kFilesTold) break;
      names += (names.empty() ? "" : ", ") + build_id;
    }
    return Error{ErrorCode::kConflict, "Several build-ids begin so: " + names + ". Give more digits.", 0};
  }
  return file_of(found.begin()->second);
}

Result<RetainedFile> RetainedFiles::by_version(std::string_view module, Version version) const {
  std::set<std::string> names;
  for (const KnownVersion& known : versions_) names.insert(known.module);
  if (names.empty()) {
    return Error{ErrorCode::kNotFound,
                 "No daemon of this user has a history on this machine; name the file by its build-id.", 0};
  }
  const auto name = match_name(module, {names.begin(), names.end()});
  if (!name) return name.error();
  std::set<std::pair<Version, Digest>> fits;
  Version newest = 0;
  for (const KnownVersion& known : versions_) {
    if (known.module != *name || (version != 0 && known.version != version)) continue;
    newest = std::max(newest, known.version);
    fits.emplace(known.version, known.digest);
  }
  std::erase_if(fits, [newest](const auto& fit) { return fit.first != newest; });
  if (fits.empty()) {
    return Error{ErrorCode::kNotFound,
                 "Version " + std::to_string(version) + " of " + *name + " is not in the history any more.",
                 0};
  }
  if (fits.size() > 1) {
    return Error{ErrorCode::kConflict,
                 "Several watched directories have " + *name + "@" + std::to_string(newest) +
                     "; name the file by its build-id (file " + *name + ".so tells it).",
                 0};
  }
  auto file = file_of(fits.begin()->second);
  if (!file) return file.error().with_context(named({*name, newest, {}, {}}));
  // The same bytes may be several versions: this one was asked for.
  file->module = *name;
  file->version = newest;
  return file;
}

Result<RetainedFile> RetainedFiles::by_image(std::string_view name) const {
  const auto found = images_.find(name);
  if (found == images_.end()) {
    return Error{ErrorCode::kNotFound, "no history knows an image " + std::string(name), 0};
  }
  return file_of(found->second);
}

RetainedFile RetainedFiles::described(const fs::path& path) const {
  RetainedFile file{path, build_id_of(path), {}, 0};
  const auto image = images_.find(path.filename().string());
  if (image == images_.end()) return file;
  if (const auto known = versions_of(image->second); !known.empty()) {
    file.module = known.front().module;
    file.version = known.front().version;
  }
  return file;
}

RetainedFiles retained_files_of_user(const std::string& cache) {
  const Places places = Places::of_this_process();
  std::vector<fs::path> states;
  if (const auto root = state_root(places)) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(*root, error)) states.push_back(entry.path());
    std::sort(states.begin(), states.end());
  }
  std::vector<fs::path> caches;
  if (!cache.empty()) {
    caches.emplace_back(cache);
  } else if (const auto usual = client::default_cache_directory(places.here)) {
    caches.emplace_back(*usual);
  }
  return {std::move(states), std::move(caches)};
}

}  // namespace moddev::tools
