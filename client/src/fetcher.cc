#include "client/src/fetcher.h"

#include <algorithm>
#include <utility>

#include "client/src/limits.h"
#include "client/src/requests.h"

namespace moddev::client {
namespace {

/// A daemon that is busy again and again is asked less and less often, up to so many doublings of what it
/// asks for: hundreds may wait for the same encoding.
constexpr unsigned kBusyDoublings = 5;

}  // namespace

Fetcher::~Fetcher() {
  for (const auto& [digest, transfer] : transfers_) release(digest, transfer);
}

void Fetcher::release(const Digest& digest, const Transfer& transfer) {
  if (shared_ != nullptr && transfer.ours) shared_->end_fetch(digest);
}

void Fetcher::want(const std::vector<WantedBlob>& blobs, TimePoint now) {
  Transfers wanted;
  std::map<Digest, SharedBytes> kept;
  bytes_in_memory_ = 0;
  problems_.clear();
  for (const WantedBlob& blob : blobs) {
    if (const auto have = bytes_.find(blob.digest); have != bytes_.end()) {
      bytes_in_memory_ += have->second->size();
      kept.insert(bytes_.extract(have));
      continue;
    }
    if (auto running = transfers_.find(blob.digest); running != transfers_.end()) {
      wanted.insert(transfers_.extract(running));
      continue;
    }
    Transfer transfer;
    transfer.size = blob.size;
    transfer.base = blob.base;
    if (!accept_.empty() && blob.size >= limits::kEncodedFrom && blob.size <= limits::kEncodedUpTo) {
      transfer.way = Way::kUndecided;
    }
    wanted.emplace(blob.digest, std::move(transfer));
  }
  for (const auto& [digest, transfer] : transfers_) release(digest, transfer);  // what is not wanted any more
  transfers_ = std::move(wanted);
  bytes_ = std::move(kept);
  std::erase_if(open_, [&](const Piece& piece) { return !transfers_.contains(piece.digest); });
  patience_ = limits::kPieceFirst;
  due_ = open_.empty() ? kNever : now + patience_;
  not_before_ = {};
}

std::uint64_t Fetcher::open_bytes() const {
  std::uint64_t sum = 0;
  for (const Piece& piece : open_) sum += piece.length;
  return sum;
}

/// Begins what nobody else has begun, and finds what others have brought.
void Fetcher::look_at_others(TimePoint now) {
  look_again_ = kNever;
  for (auto at = transfers_.begin(); at != transfers_.end();) {
    const auto transfer = at++;
    if (transfer->second.ours) continue;
    transfer->second.ours = shared_ == nullptr || shared_->begin_fetch(transfer->first);
    if (!transfer->second.ours) {
      transfer->second.since = std::min(transfer->second.since, now);
      if (!cache_.contains(transfer->first)) {
        transfer->second.ours = now - transfer->second.since >= limits::kSharedFetchPatience;
        if (!transfer->second.ours) look_again_ = now + limits::kSharedFetchPoll;
        continue;
      }
    } else if (shared_ == nullptr || !cache_.contains(transfer->first)) {
      continue;
    }
    release(transfer->first, transfer->second);
    transfers_.erase(transfer);
  }
}

void Fetcher::step(TimePoint now, const Ask& ask) {
  look_at_others(now);
  if (now >= due_) {
    patience_ = std::min<Duration>(patience_ * 2, limits::kPieceLast);
    due_ = now + patience_;
    for (Piece& piece : open_) piece.id = ask(request_of(piece));
  }
  if (now < not_before_) return;
  std::uint64_t credit =
      limits::kOpenPieceBytes - std::min<std::uint64_t>(open_bytes(), limits::kOpenPieceBytes);
  for (auto& [digest, transfer] : transfers_) {
    if (!transfer.ours) continue;
    // An empty blob is one piece of no bytes; so one byte more than the size is "all asked for".
    while (transfer.asked < std::max<std::uint64_t>(transfer.extent(), 1)) {
      // How it goes on is in the answer to the first piece.
      if (transfer.way == Way::kUndecided && transfer.asked > 0) break;
      // Pieces that came before their turn are in memory: the window bounds them too.
      if (transfer.asked - transfer.received >= limits::kOpenPieceBytes) break;
      const std::uint64_t length =
          std::min<std::uint64_t>(transfer.extent() - transfer.asked, limits::kChunkBytes);
      if (open_.size() >= limits::kOpenPieces || length > credit) return;
      if (open_.empty()) due_ = now + patience_;
      Piece piece{0, digest, transfer.asked, length};
      piece.id = ask(request_of(piece));
      open_.push_back(piece);
      transfer.asked += std::max<std::uint64_t>(length, 1);
      credit -= length;
    }
  }
}

TimePoint Fetcher::next_due() const {
  TimePoint due = open_.empty() ? kNever : due_;
  if (!transfers_.empty() && open_.empty() && not_before_ != TimePoint{}) due = std::min(due, not_before_);
  return std::min(due, look_again_);
}

bool Fetcher::take(std::uint64_t id, ReplyBody& reply, TimePoint now) {
  const auto open = std::find_if(open_.begin(), open_.end(), [&](const Piece& p) { return p.id == id; });
  if (open == open_.end()) return false;
  const Piece piece = *open;
  open_.erase(open);
  patience_ = limits::kPieceFirst;
  due_ = now + patience_;
  if (auto* error = std::get_if<ErrorReply>(&reply)) {
    take_error(piece, *error, now);
  } else if (auto* blob = std::get_if<BlobReply>(&reply)) {
    take_piece(piece, *blob);
  } else {
    fail(piece.digest,
         {ErrorCode::kCorrupt, "The daemon answered the request for a piece with something else."});
  }
  return true;
}

void Fetcher::take_error(const Piece& piece, const ErrorReply& error, TimePoint now) {
  if (error.retry_after_ms <= 0) return fail(piece.digest, {error.code, error.message});
  Transfer& transfer = transfers_.at(piece.digest);
  const Duration wait = std::chrono::milliseconds(error.retry_after_ms) *
                        (1U << std::min(transfer.told_to_wait++, kBusyDoublings));
  not_before_ = std::max(not_before_, now + wait + wait / 2 - with_jitter(wait / 2, random_));
  // Asked for again from what was written; what is still on its way is dropped when it comes.
  transfer.asked = transfer.received;
  transfer.early.clear();
  std::erase_if(open_, [&](const Piece& p) { return p.digest == piece.digest; });
}

BlobRequest Fetcher::request_of(const Piece& piece) const {
  const Transfer& transfer = transfers_.at(piece.digest);
  BlobRequest request{piece.digest, piece.offset, piece.length};
  if (transfer.way == Way::kPlain) return request;
  request.base = transfer.base;
  if (transfer.way == Way::kEncoded) {
    request.accept = {transfer.encoding};
    return request;
  }
  for (const Encoding encoding : accept_) {
    if (encoding != Encoding::kPatch || transfer.base != Digest{}) request.accept.push_back(encoding);
  }
  return request;
}

bool Fetcher::fits(const Piece& piece, const BlobReply& reply, const Transfer& transfer) const {
  if (reply.digest != piece.digest || reply.offset != piece.offset || reply.total != transfer.size) {
    return false;
  }
  const std::size_t length = reply.bytes ? reply.bytes->size() : 0;
  if (transfer.way == Way::kUndecided && reply.encoding != Encoding::kPlain) {
    return reply.wire_total > 0 && length == std::min<std::uint64_t>(piece.length, reply.wire_total);
  }
  if (transfer.way != Way::kEncoded) return reply.encoding == Encoding::kPlain && length == piece.length;
  return reply.encoding == transfer.encoding && reply.wire_total == transfer.wire_size &&
         length == piece.length;
}

bool Fetcher::decide_way(const BlobReply& reply, Transfer& transfer) {
  if (transfer.way != Way::kUndecided) return true;
  transfer.way = Way::kPlain;
  if (reply.encoding == Encoding::kPlain) return true;
  // An encoding larger than what it stands for, or than there is room for, is no good: the whole then.
  const bool accepted = std::find(accept_.begin(), accept_.end(), reply.encoding) != accept_.end();
  if (!accepted || reply.wire_total >= transfer.size || reply.wire_total > limits::kEncodedInMemory) {
    transfer.asked = 0;
    return false;
  }
  transfer.way = Way::kEncoded;
  transfer.encoding = reply.encoding;
  transfer.wire_size = reply.wire_total;
  transfer.asked = reply.bytes->size();
  transfer.encoded.clear();
  transfer.encoded.reserve(reply.wire_total);
  return true;
}

void Fetcher::decode(const Digest& digest, Transfer& transfer) {
  Result<Bytes> whole = Error{ErrorCode::kInternal, "nothing was decoded", 0};
  if (transfer.encoding == Encoding::kZstd) {
    whole = decompress(transfer.encoded, digest, transfer.size);
  } else if (const auto base = cache_.read(transfer.base); !base) {
    whole = base.error();
  } else {
    whole = apply_patch(**base, transfer.encoded, digest, transfer.size);
  }
  if (!whole) return start_again(digest, transfer, whole.error());
  keep_small(digest, share(std::move(*whole)));
}

void Fetcher::take_piece(const Piece& piece, BlobReply& reply) {
  Transfer& transfer = transfers_.at(piece.digest);
  const std::size_t length = reply.bytes ? reply.bytes->size() : 0;
  if (!fits(piece, reply, transfer)) {
    return start_again(
        piece.digest, transfer,
        {ErrorCode::kCorrupt, "Of " + piece.digest.to_string() + " " + std::to_string(piece.length) +
                                  " bytes from " + std::to_string(piece.offset) + " of " +
                                  std::to_string(transfer.size) + " were asked for, " +
                                  std::to_string(length) + " bytes from " + std::to_string(reply.offset) +
                                  " of " + std::to_string(reply.total) + " came."});
  }
  transfer.told_to_wait = 0;
  if (!decide_way(reply, transfer)) return;
  if (transfer.way == Way::kPlain && transfer.size <= limits::kChunkBytes) {
    SharedBytes bytes = reply.bytes ? std::move(reply.bytes) : share(Bytes{});
    if (digest_of(*bytes) != piece.digest) {
      return start_again(piece.digest, transfer,
                         {ErrorCode::kCorrupt, "What was fetched is not " + piece.digest.to_string() + "."});
    }
    return keep_small(piece.digest, std::move(bytes));
  }
  transfer.early.emplace(piece.offset, std::move(reply.bytes));
  if (Status written = write_in_order(piece.digest, transfer); !written) fail(piece.digest, written.error());
}

void Fetcher::keep_small(const Digest& digest, SharedBytes bytes) {
  const bool fits = bytes_in_memory_ + bytes->size() <= limits::kBytesInMemory;
  // A cache that is full costs the others a fetch, but not this client its module.
  if (!fits || shared_ != nullptr) {
    if (Status put = cache_.put(digest, *bytes); !put && !fits) return fail(digest, put.error());
  }
  if (fits) {
    bytes_in_memory_ += bytes->size();
    bytes_.emplace(digest, std::move(bytes));
  }
  release(digest, transfers_.at(digest));
  transfers_.erase(digest);
}

/// Writes what is next; at the end verifies the whole and gives it its name. A wrong whole starts again.
Status Fetcher::write_in_order(const Digest& digest, Transfer& transfer) {
  if (transfer.way == Way::kEncoded) {
    for (auto next = transfer.early.find(transfer.received); next != transfer.early.end();
         next = transfer.early.find(transfer.received)) {
      transfer.encoded.insert(transfer.encoded.end(), next->second->begin(), next->second->end());
      transfer.received += next->second->size();
      transfer.early.erase(next);
    }
    if (transfer.received == transfer.wire_size) decode(digest, transfer);
    return {};
  }
  if (!transfer.writer) {
    auto writer = cache_.create();
    if (!writer) return writer.error();
    transfer.writer = std::move(*writer);
  }
  for (auto next = transfer.early.find(transfer.received); next != transfer.early.end();
       next = transfer.early.find(transfer.received)) {
    MODDEV_TRY(transfer.writer->write(*next->second));
    transfer.received += next->second->size();
    transfer.early.erase(next);
  }
  if (transfer.received < transfer.size) return {};
  auto actual = transfer.writer->finish();
  if (!actual) return actual.error();
  if (*actual != digest) {
    start_again(digest, transfer,
                {ErrorCode::kCorrupt,
                 "What was fetched is not " + digest.to_string() + " but " + actual->to_string() + "."});
    return {};
  }
  MODDEV_TRY(transfer.writer->commit());
  release(digest, transfer);
  transfers_.erase(digest);
  return {};
}

void Fetcher::start_again(const Digest& digest, Transfer& transfer, Error reason) {
  if (++transfer.attempts >= limits::kFetchAttempts) return fail(digest, std::move(reason));
  // What could not be decoded comes whole the next time.
  transfer.way = Way::kPlain;
  transfer.encoded = {};
  transfer.asked = 0;
  transfer.received = 0;
  transfer.writer.reset();
  transfer.early.clear();
  std::erase_if(open_, [&](const Piece& piece) { return piece.digest == digest; });
}

void Fetcher::fail(const Digest& digest, Error reason) {
  if (const auto transfer = transfers_.find(digest); transfer != transfers_.end()) {
    release(digest, transfer->second);
    transfers_.erase(transfer);
  }
  std::erase_if(open_, [&](const Piece& piece) { return piece.digest == digest; });
  problems_.emplace(digest, std::move(reason));
}

void Fetcher::forget_open() {
  for (const Piece& piece : open_) {
    const auto transfer = transfers_.find(piece.digest);
    if (transfer == transfers_.end()) continue;
    transfer->second.asked = transfer->second.received;
    transfer->second.early.clear();
  }
  open_.clear();
  due_ = kNever;
  not_before_ = {};
}

std::map<Digest, SharedBytes> Fetcher::take_bytes() {
  bytes_in_memory_ = 0;
  return std::exchange(bytes_, {});
}

}  // namespace moddev::client
