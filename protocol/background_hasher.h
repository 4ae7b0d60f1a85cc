// SHA-256 of a stream, computed on a thread of its own while the caller goes on: for large blobs, whose
// hashing takes as long as bringing them. Holds at most limits::kHashedAhead pieces; who is faster waits.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "protocol/digest.h"

namespace moddev {

/// Below this size making a thread costs more than it saves.
inline constexpr std::size_t kHashBeside = 4UL * 1024 * 1024;
/// Pieces that wait for the thread; the caller waits beyond.
inline constexpr std::size_t kHashedAhead = 8;

class BackgroundHasher {
 public:
  /// Goes on from what `so_far` has hashed. Where no thread can be made, update() does the work itself.
  explicit BackgroundHasher(Hasher so_far);
  ~BackgroundHasher();
  BackgroundHasher(const BackgroundHasher&) = delete;
  BackgroundHasher& operator=(const BackgroundHasher&) = delete;

  /// Copies it.
  void update(std::span<const std::byte> piece);
  /// Waits for what is left. The last call.
  [[nodiscard]] Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moddev
