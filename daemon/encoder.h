// The Encoder seam: blobs made smaller, away from the thread that answers. The daemon asks and polls; it goes
// on without when there is none.
#pragma once

#include <compare>
#include <memory>
#include <optional>

#include "protocol/blob_store.h"
#include "protocol/bytes.h"
#include "protocol/digest.h"
#include "protocol/patch.h"

namespace moddev::daemon {

struct EncodingJob {
  Digest target;
  /// Of a patch; zero: none.
  Digest base;
  bool zstd_allowed = false;
  friend auto operator<=>(const EncodingJob&, const EncodingJob&) = default;
};

struct EncodingResult {
  EncodingJob job;
  /// kPlain, and no bytes: nothing pays, or it cannot be done.
  Encoding encoding = Encoding::kPlain;
  SharedBytes bytes;
};

class Encoder {
 public:
  virtual ~Encoder() = default;
  /// False: too much is waiting already.
  virtual bool begin(const EncodingJob& job) = 0;
  virtual std::optional<EncodingResult> poll() = 0;
};

/// A patch if that pays, else one compressed frame if that does.
[[nodiscard]] EncodingResult encode_blob(const EncodingJob& job, BlobStore& blobs);

/// Encodes one after the other on a thread of its own, which gives way to all others. `blobs` must outlive
/// it.
[[nodiscard]] std::unique_ptr<Encoder> make_encoder_thread(BlobStore& blobs);

}  // namespace moddev::daemon
