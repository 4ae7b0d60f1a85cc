#include "client/src/requests.h"

#include <algorithm>
#include <utility>

#include "client/src/limits.h"

namespace moddev::client {
namespace {

/// Whether the newer request makes the older one pointless.
bool supersedes(const RequestBody& newer, const RequestBody& older) {
  if (newer.index() != older.index()) return false;
  const auto* ack = std::get_if<AckRequest>(&newer);
  return ack == nullptr || ack->epoch == std::get<AckRequest>(older).epoch;
}

}  // namespace

Duration with_jitter(Duration base, std::minstd_rand& random) {
  return base - base / 2 * static_cast<std::int64_t>(random() % 1024) / 1024;
}

void RequestBook::ask(RequestBody body, TimePoint now) {
  const Duration patience = limits::kRequestFirst;
  replace_open({{}, std::move(body), now + patience, patience});
  send(open_.back(), now);
}

void RequestBook::ask_once(RequestBody body, TimePoint now) {
  Open open{{}, std::move(body), kNever, {}};
  for (Open& older : open_) {
    if (supersedes(open.body, older.body)) open.attempts = std::move(older.attempts);
  }
  replace_open(std::move(open));
  send(open_.back(), now);
}

void RequestBook::ask_later(RequestBody body, Duration delay, TimePoint now) {
  const Duration patience = limits::kRequestFirst;
  replace_open({{}, std::move(body), now + delay + delay / 2 - with_jitter(delay / 2, random_), patience});
}

std::optional<RequestBook::Answered> RequestBook::answered(std::uint64_t id) {
  for (auto open = open_.begin(); open != open_.end(); ++open) {
    auto& attempts = open->attempts;
    const auto attempt =
        std::find_if(attempts.begin(), attempts.end(), [&](const Attempt& a) { return a.id == id; });
    if (attempt == attempts.end()) continue;
    std::optional<Answered> answered(Answered{open->body, attempt->sent});
    attempts.erase(attempts.begin(), std::next(attempt));
    if (open->due != kNever || attempts.empty()) open_.erase(open);
    return answered;
  }
  return std::nullopt;
}

void RequestBook::step(TimePoint now) {
  for (Open& open : open_) {
    if (open.due > now) continue;
    open.patience = std::min<Duration>(open.patience * 2, limits::kRequestLast);
    open.due = now + with_jitter(open.patience, random_);
    send(open, now);
  }
}

TimePoint RequestBook::next_due() const {
  TimePoint due = kNever;
  for (const Open& open : open_) due = std::min(due, open.due);
  return due;
}

void RequestBook::replace_open(Open open) {
  std::erase_if(open_, [&](const Open& older) { return supersedes(open.body, older.body); });
  if (open_.size() >= limits::kOpenRequests) {
    const auto ack = std::find_if(open_.begin(), open_.end(),
                                  [](const Open& o) { return std::holds_alternative<AckRequest>(o.body); });
    open_.erase(ack == open_.end() ? open_.begin() : ack);
  }
  open_.push_back(std::move(open));
}

void RequestBook::send(Open& open, TimePoint now) {
  if (open.attempts.size() >= limits::kAttemptsKept) open.attempts.pop_front();
  open.attempts.push_back({next_id(), now});
  link_.send({open.attempts.back().id, open.body});
  ++sent_;
}

}  // namespace moddev::client
