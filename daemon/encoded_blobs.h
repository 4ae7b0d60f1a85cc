// What of a blob is sent instead of its bytes: computed once per pair of versions, and kept while there is
// room. It decides when encoding is worth a try; how is encoder.h's business.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>

#include "daemon/encoder.h"
#include "protocol/messages.h"

namespace moddev::daemon {

class EncodedBlobs {
 public:
  /// `blobs` must outlive it. Without an encoder everything is sent as it is.
  EncodedBlobs(BlobStore& blobs, std::shared_ptr<Encoder> encoder)
      : blobs_(blobs), encoder_(std::move(encoder)) {}

  struct Offer {
    enum class Kind : std::uint8_t { kPlain, kEncoded, kLater };
    Kind kind = Kind::kPlain;
    Encoding encoding = Encoding::kPlain;
    SharedBytes bytes;
  };
  /// What to answer to a request for a blob of `size` bytes.
  [[nodiscard]] Offer offer(const BlobRequest& request, std::uint64_t size);

  [[nodiscard]] std::uint64_t kept_bytes() const { return kept_bytes_; }
  [[nodiscard]] std::size_t entries() const { return entries_.size(); }

 private:
  struct Entry {
    bool done = false;
    Encoding encoding = Encoding::kPlain;
    SharedBytes bytes;
    std::list<EncodingJob>::iterator used;  // newest first
  };
  using Entries = std::map<EncodingJob, Entry>;

  [[nodiscard]] EncodingJob job_of(const BlobRequest& request, std::uint64_t size) const;
  void take_results();
  void make_room();

  BlobStore& blobs_;
  std::shared_ptr<Encoder> encoder_;
  Entries entries_;
  std::list<EncodingJob> by_use_;
  std::uint64_t kept_bytes_ = 0;
};

}  // namespace moddev::daemon
