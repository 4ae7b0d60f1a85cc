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
  replace_open({next_id(), std::move(body), now + patience, patience});
  send(open_.back());
}

void RequestBook::ask_once(RequestBody body) {
  replace_open({next_id(), std::move(body), kNever, {}});
  send(open_.back());
}

void RequestBook::ask_later(RequestBody body, Duration delay, TimePoint now) {
  const Duration patience = limits::kRequestFirst;
  replace_open(
      {next_id(), std::move(body), now + delay + delay / 2 - with_jitter(delay / 2, random_), patience});
}

std::optional<RequestBody> RequestBook::answered(std::uint64_t id) {
  const auto open = std::find_if(open_.begin(), open_.end(), [&](const Open& o) { return o.id == id; });
  if (open == open_.end()) return std::nullopt;
  std::optional<RequestBody> body(std::move(open->body));
  open_.erase(open);
  return body;
}

void RequestBook::step(TimePoint now) {
  for (Open& open : open_) {
    if (open.due > now) continue;
    open.id = next_id();
    open.patience = std::min<Duration>(open.patience * 2, limits::kRequestLast);
    open.due = now + with_jitter(open.patience, random_);
    send(open);
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

void RequestBook::send(const Open& open) {
  link_.send({open.id, open.body});
  ++sent_;
}

}  // namespace moddev::client
