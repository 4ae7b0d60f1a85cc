#include "watcher/proof_memory.h"

#include <unistd.h>

#include <cstring>
#include <string_view>

#include "protocol/private_file.h"
#include "watcher/limits.h"

namespace moddev::watcher {
namespace {

constexpr std::string_view kMagic = "moddev-proofs-1\n";

void put(Bytes& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
template <typename T>
void put_number(Bytes& out, T value) {
  put(out, std::as_bytes(std::span(&value, 1)));
}

/// Takes from the front; says no more once there was too little.
class Input {
 public:
  explicit Input(std::span<const std::byte> bytes) : left_(bytes) {}
  std::span<const std::byte> take(std::size_t count) {
    if (count > left_.size()) {
      left_ = {};
      good_ = false;
      return {};
    }
    const auto front = left_.first(count);
    left_ = left_.subspan(count);
    return front;
  }
  template <typename T>
  T number() {
    T value{};
    if (const auto bytes = take(sizeof value); !bytes.empty())
      std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool at_end() const { return left_.empty(); }

 private:
  std::span<const std::byte> left_;
  bool good_ = true;
};

std::string head_of(const std::string& boot_id) {
  return std::string(kMagic) + boot_id + "\n";
}

}  // namespace

Bytes encode_proofs(const std::string& boot_id, const std::vector<ProvenFile>& files) {
  Bytes out;
  put(out, as_bytes(head_of(boot_id)));
  for (const ProvenFile& file : files) {
    put_number(out, static_cast<std::uint32_t>(file.path.size()));
    put(out, as_bytes(file.path));
    put(out, std::as_bytes(std::span(file.digest.bytes)));
    put_number(out, file.stat.device);
    put_number(out, file.stat.inode);
    put_number(out, file.stat.size);
    put_number(out, file.stat.mtime_ns);
    put_number(out, file.stat.ctime_ns);
  }
  const Digest digest = digest_of(out);
  put(out, std::as_bytes(std::span(digest.bytes)));
  return out;
}

std::vector<ProvenFile> decode_proofs(const std::string& boot_id, std::span<const std::byte> bytes) {
  Digest digest;
  const std::string head = head_of(boot_id);
  if (boot_id.empty() || bytes.size() < head.size() + digest.bytes.size()) return {};
  const auto body = bytes.first(bytes.size() - digest.bytes.size());
  std::memcpy(digest.bytes.data(), bytes.data() + body.size(), digest.bytes.size());
  Input input(body);
  if (as_text(input.take(head.size())) != head || digest_of(body) != digest) return {};
  std::vector<ProvenFile> files;
  while (!input.at_end()) {
    ProvenFile file;
    file.path = as_text(input.take(input.number<std::uint32_t>()));
    if (const auto raw = input.take(file.digest.bytes.size()); !raw.empty())
      std::memcpy(file.digest.bytes.data(), raw.data(), raw.size());
    file.stat.type = FileType::kRegular;
    file.stat.device = input.number<std::uint64_t>();
    file.stat.inode = input.number<std::uint64_t>();
    file.stat.size = input.number<std::uint64_t>();
    file.stat.mtime_ns = input.number<std::int64_t>();
    file.stat.ctime_ns = input.number<std::int64_t>();
    if (!input.good()) return {};
    files.push_back(std::move(file));
  }
  return files;
}

Status write_proofs(const std::string& file, const std::string& boot_id,
                    const std::vector<ProvenFile>& files) {
  if (boot_id.empty()) return {};
  const Bytes bytes = encode_proofs(boot_id, files);
  if (bytes.size() > limits::kProofMemoryBytes) return {};
  return write_private_file(file, as_text(bytes), Secrecy::kSecret, Existing::kReplace);
}

std::vector<ProvenFile> read_proofs(const std::string& file, const std::string& boot_id) {
  const auto content = read_private_file(file, Secrecy::kSecret, ::geteuid(), limits::kProofMemoryBytes);
  return content ? decode_proofs(boot_id, as_bytes(*content)) : std::vector<ProvenFile>();
}

}  // namespace moddev::watcher
