#include "protocol/blob_store.h"

namespace moddev {

Status BlobStore::put(const Digest& digest, std::span<const std::byte> bytes) {
  if (contains(digest)) return {};
  auto writer = create();
  if (!writer) return writer.error();
  MODDEV_TRY((*writer)->write(bytes));
  auto written = (*writer)->finish();
  if (!written) return written.error();
  if (*written != digest) {
    return Error{ErrorCode::kCorrupt,
                 "bytes with digest " + written->to_string() + " were given as " + digest.to_string(), 0};
  }
  return (*writer)->commit();
}

}  // namespace moddev
