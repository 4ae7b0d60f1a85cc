// Gets the blobs that the cache lacks, in pieces, several at once, each verified as a whole. A state machine:
// step() says which pieces to ask for, take() gets the answers. Small blobs stay in memory for the loader;
// larger ones go through the cache on disk, so that memory is bounded by the open pieces. It does not know
// why the blobs are wanted, nor how requests travel.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "client/src/cache_use.h"
#include "protocol/blob_store.h"
#include "protocol/clock.h"
#include "protocol/messages.h"

namespace moddev::client {

/// A blob as the manifest describes it; the size is checked against what comes.
struct WantedBlob {
  Digest digest;
  std::uint64_t size = 0;
  /// Another version that is in the cache, for a patch; zero: none.
  Digest base{};
};

class Fetcher {
 public:
  /// Sends a request for one piece and returns its id.
  using Ask = std::function<std::uint64_t(const BlobRequest&)>;
  /// With `shared`, a blob that another client of the same cache is fetching is waited for, and everything
  /// that is fetched goes into the cache at once.
  /// `accept`: encodings that are worth their work; the daemon chooses. `seed` of the jitter, where many are
  /// told to wait.
  explicit Fetcher(BlobStore& cache, CacheUse* shared = nullptr, std::vector<Encoding> accept = {},
                   std::uint64_t seed = 1)
      : cache_(cache),
        shared_(shared),
        accept_(std::move(accept)),
        random_(static_cast<std::minstd_rand::result_type>(seed % 2147483646 + 1)) {}
  ~Fetcher();
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  /// Replaces what is wanted. Blobs that are still wanted go on where they are; the others are dropped.
  void want(const std::vector<WantedBlob>& blobs, TimePoint now);
  void cancel() { want({}, {}); }

  /// Asks for pieces as far as the credit goes, and again for those that nobody answers.
  void step(TimePoint now, const Ask& ask);
  [[nodiscard]] TimePoint next_due() const;

  /// Whether `id` is an open piece; if so, takes the answer. `reply` is consumed.
  bool take(std::uint64_t id, ReplyBody& reply, TimePoint now);

  /// The connection is new: what was asked for will not be answered.
  void forget_open();

  [[nodiscard]] bool done() const { return transfers_.empty() && problems_.empty(); }
  /// What cannot be had, with the reason. Not empty: done() stays false until want() is called again.
  [[nodiscard]] const std::map<Digest, Error>& problems() const { return problems_; }
  /// Verified blobs that were kept in memory, given away.
  [[nodiscard]] std::map<Digest, SharedBytes> take_bytes();

 private:
  /// How the bytes come: the answer to the first piece says so, where the daemon has a choice.
  enum class Way : std::uint8_t { kPlain, kUndecided, kEncoded };
  struct Transfer {
    std::uint64_t size = 0;
    Digest base{};
    Way way = Way::kPlain;
    Encoding encoding = Encoding::kPlain;
    std::uint64_t wire_size = 0;  // of the encoding
    Bytes encoded;
    /// The bytes that come in all.
    [[nodiscard]] std::uint64_t extent() const { return way == Way::kEncoded ? wire_size : size; }
    std::uint64_t asked = 0;     // from here on nothing was asked for
    std::uint64_t received = 0;  // up to here everything was written
    unsigned attempts = 0;
    unsigned told_to_wait = 0;                   // in a row
    bool ours = false;                           // nobody else fetches it
    TimePoint since = kNever;                    // when somebody else was seen to
    std::unique_ptr<BlobWriter> writer;          // larger than one piece
    std::map<std::uint64_t, SharedBytes> early;  // pieces that came before their turn
  };
  struct Piece {
    std::uint64_t id = 0;
    Digest digest;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };
  using Transfers = std::map<Digest, Transfer>;

  void look_at_others(TimePoint now);
  void release(const Digest& digest, const Transfer& transfer);
  [[nodiscard]] BlobRequest request_of(const Piece& piece) const;
  [[nodiscard]] bool fits(const Piece& piece, const BlobReply& reply, const Transfer& transfer) const;
  /// Whether the transfer goes on with this first piece.
  bool decide_way(const BlobReply& reply, Transfer& transfer);
  void decode(const Digest& digest, Transfer& transfer);
  void take_piece(const Piece& piece, BlobReply& reply);
  void take_error(const Piece& piece, const ErrorReply& error, TimePoint now);
  Status write_in_order(const Digest& digest, Transfer& transfer);
  void keep_small(const Digest& digest, SharedBytes bytes);
  void start_again(const Digest& digest, Transfer& transfer, Error reason);
  void fail(const Digest& digest, Error reason);
  [[nodiscard]] std::uint64_t open_bytes() const;

  BlobStore& cache_;
  CacheUse* shared_;
  std::vector<Encoding> accept_;
  std::minstd_rand random_;
  TimePoint look_again_ = kNever;
  Transfers transfers_;
  std::vector<Piece> open_;
  std::map<Digest, Error> problems_;
  std::map<Digest, SharedBytes> bytes_;
  std::size_t bytes_in_memory_ = 0;
  TimePoint due_ = kNever;  // open pieces count as lost
  TimePoint not_before_{};  // the daemon is busy
  Duration patience_{};
};

}  // namespace moddev::client
