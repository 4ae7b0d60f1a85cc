#include "daemon/audit.h"

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/limits.h"
#include "protocol/text.h"

namespace moddev::daemon {
namespace {

constexpr std::array kActs = {AuditAct::kConnected, AuditAct::kFetched, AuditAct::kApplied,
                              AuditAct::kFailed,    AuditAct::kAsked,   AuditAct::kRefused};
constexpr std::string_view kOthers = "others";
constexpr std::string_view kTooMany = "more of these at once than are told apart";

std::string bounded(std::string&& text) {
  if (text.size() <= limits::kAuditTextBytes && is_valid_utf8(text)) return std::move(text);
  return clean_text(text, limits::kAuditTextBytes);
}

}  // namespace

std::string_view to_string(AuditAct act) {
  switch (act) {
    case AuditAct::kFetched:
      return "fetched";
    case AuditAct::kApplied:
      return "applied";
    case AuditAct::kFailed:
      return "failed";
    case AuditAct::kAsked:
      return "asked";
    case AuditAct::kRefused:
      return "refused";
    case AuditAct::kConnected:
      break;
  }
  return "connected";
}

std::optional<AuditAct> audit_act_from_string(std::string_view text) {
  for (const AuditAct act : kActs)
    if (to_string(act) == text) return act;
  return std::nullopt;
}

void AuditLog::note(AuditNote note, TimePoint now, WallTime wall) {
  const bool fetched = !note.digest.is_zero();
  Key key{note.act, bounded(std::move(note.who)), bounded(std::move(note.executor)),
          fetched ? note.digest.hex() : bounded(std::move(note.what))};
  forget_what_is_over(now);
  auto at = open_.find(key);
  if (at == open_.end()) {
    const bool refusal = note.act == AuditAct::kRefused;
    const bool full = refusal ? open_refusals_ >= limits::kAuditOpenRefusals
                              : open_.size() - open_refusals_ >= limits::kAuditOpenEntries;
    if (full) {
      key = {note.act, std::string(kOthers), "", std::string(kTooMany)};
      at = open_.find(key);
    }
    if (at == open_.end()) {
      Open fresh;
      fresh.entry = {0, note.act, std::get<1>(key), "", std::get<2>(key), std::get<3>(key), wall, wall, 0};
      fresh.entry.id = ++last_id_;
      if (fetched && !full) {
        fresh.entry.what = bounded(std::move(note.what));
        if (fresh.entry.what.empty()) fresh.digest = note.digest;
      }
      fresh.since = now;
      at = open_.emplace(std::move(key), std::move(fresh)).first;
      if (refusal) ++open_refusals_;
      next_over_ = std::min<TimePoint>(next_over_, now + limits::kAuditInterval);
    }
  }
  Open& one = at->second;
  // A piece of what was fetched already counts nothing, but an act that is told happened at least once.
  one.entry.count = std::max<std::uint64_t>(1, one.entry.count + note.count);
  one.entry.last_at = wall;
  if (one.entry.who != kOthers) one.entry.address = bounded(std::move(note.address));
  one.unwritten = true;
  if (due_ == kNever) due_ = now + limits::kAuditDelay;
}

void AuditLog::forget_what_is_over(TimePoint now) {
  if (now < next_over_) return;
  next_over_ = kNever;
  for (auto at = open_.begin(); at != open_.end();) {
    Open& one = at->second;
    if (const TimePoint over = one.since + limits::kAuditInterval; now < over) {
      next_over_ = std::min(next_over_, over);
      ++at;
      continue;
    }
    // Where nothing can be written for long, the newest are what is kept.
    if (one.unwritten && over_.size() >= limits::kAuditWaiting) over_.erase(over_.begin());
    if (one.entry.act == AuditAct::kRefused) --open_refusals_;
    if (one.unwritten) over_.push_back(std::move(one));
    at = open_.erase(at);
  }
}

std::vector<AuditEntry> AuditLog::unwritten(const NameOf& name_of) {
  std::vector<AuditEntry> entries;
  const auto take = [&](Open& one) {
    if (!one.unwritten) return;
    if (!one.digest.is_zero()) {
      std::string name = name_of(one.digest);
      one.entry.what = name.empty() ? one.digest.to_string() : std::move(name);
      one.digest = Digest{};
    }
    entries.push_back(one.entry);
  };
  for (Open& one : over_) take(one);
  for (auto& [key, one] : open_) take(one);
  std::ranges::sort(entries, {}, &AuditEntry::id);
  return entries;
}

void AuditLog::written(TimePoint now) {
  over_.clear();
  for (auto& [key, one] : open_) one.unwritten = false;
  due_ = kNever;
  forget_what_is_over(now);
}

void AuditLog::not_written(TimePoint now) {
  due_ = now + limits::kAuditRetry;
}

}  // namespace moddev::daemon
