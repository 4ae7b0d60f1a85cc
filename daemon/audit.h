// Who did what: what the daemon writes down for its owner to look at later (`moddev audit`). Takes notes,
// merges what repeats itself, and says what is to be written; the table is the journal's. It decides about
// nobody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "protocol/clock.h"
#include "protocol/digest.h"

namespace moddev::daemon {

enum class AuditAct : std::uint8_t {
  kConnected,
  kFetched,
  kApplied,
  kFailed,   // an executor says that it cannot use, or does not believe, an epoch
  kAsked,    // for something that changes what is live: a rollback, a refresh, a build
  kRefused,  // was not let in, was denied something, sent what is no request
};
/// "connected", "fetched", "applied", "failed", "asked", "refused".
[[nodiscard]] std::string_view to_string(AuditAct act);
[[nodiscard]] std::optional<AuditAct> audit_act_from_string(std::string_view text);

/// One line of the audit: the same act of the same one, `count` times within limits::kAuditInterval.
struct AuditEntry {
  /// Grows by one with each entry of a journal, from 1.
  std::uint64_t id = 0;
  AuditAct act = AuditAct::kConnected;
  /// As it was proven: "you" (the daemon's user), the name of a trusted key; of who was not let in, an
  /// address or "user 1001".
  std::string who{};
  /// Where it came from the last time: "pid 4711", "10.0.0.2"; empty: not known.
  std::string address{};
  /// The executor's name as the process tells it, or empty. It proves nothing.
  std::string executor{};
  /// "scorer 3", "epoch 7", "its key '...' is not trusted".
  std::string what{};
  WallTime first_at{};
  WallTime last_at{};
  std::uint64_t count = 1;
  friend bool operator==(const AuditEntry&, const AuditEntry&) = default;
};

/// What happened. Texts are cut to limits::kAuditTextBytes.
struct AuditNote {
  AuditAct act = AuditAct::kConnected;
  std::string who{};
  std::string address{};
  std::string executor{};
  std::string what{};
  /// kFetched: of what. Where `what` is empty it is named when it is written.
  Digest digest{};
  std::uint64_t count = 1;
};

class AuditLog {
 public:
  /// What a person calls these bytes, or an empty text.
  using NameOf = std::function<std::string(const Digest&)>;

  /// `last_id` is the journal's newest.
  explicit AuditLog(std::uint64_t last_id) : last_id_(last_id) {}

  /// Cheap: it is called in the middle of a switch. Beyond limits::kAuditOpenRefusals (kAuditOpenEntries of
  /// other acts) different ones within an interval, the rest is counted in one entry for each act.
  void note(AuditNote note, TimePoint now, WallTime wall);
  /// When to write; kNever when all is written.
  [[nodiscard]] TimePoint due() const { return due_; }
  /// Everything that is new or has changed since written(), by id.
  [[nodiscard]] std::vector<AuditEntry> unwritten(const NameOf& name_of);
  /// What unwritten() told is in the journal.
  void written(TimePoint now);
  /// It is not. It is kept, and tried again later.
  void not_written(TimePoint now);

 private:
  using Key = std::tuple<AuditAct, std::string, std::string, std::string>;  // act, who, executor, what
  struct Open {
    AuditEntry entry;
    Digest digest{};
    TimePoint since{};
    bool unwritten = true;
  };
  void forget_what_is_over(TimePoint now);

  std::uint64_t last_id_;
  std::map<Key, Open> open_;
  std::size_t open_refusals_ = 0;  // of open_
  TimePoint next_over_ = kNever;   // when the first of open_ is over
  /// What was over when it was not written yet: a new entry of the same key took its place.
  std::vector<Open> over_;
  TimePoint due_ = kNever;
};

}  // namespace moddev::daemon
