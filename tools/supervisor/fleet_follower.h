// Learns from the daemon what is committed and which processes are members, as an observer: it joins nothing
// and holds nothing up. A state machine over the seam Link; what the news mean for workers is the
// supervisor's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/clock.h"
#include "protocol/limits.h"
#include "protocol/link.h"
#include "tools/supervisor/supervisor.h"

namespace moddev::supervisor {

struct FollowerOptions {
  std::string software;
  /// This machine's name, as executors tell it.
  std::string host;
};

class FleetFollower {
 public:
  /// `link` must outlive it.
  FleetFollower(FollowerOptions options, Link& link) : options_(std::move(options)), link_(link) {}

  /// Ends with Link::receive() having returned nothing after the last send.
  TimePoint step(TimePoint now);
  /// The newest picture that was not taken yet.
  [[nodiscard]] std::optional<FleetPicture> take_picture();
  /// The daemon answered within its lease.
  [[nodiscard]] bool connected() const { return following_ && now_ - heard_ < lease_; }
  /// Why the daemon cannot serve us, if it said so.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  void take(LinkInput& input);
  void on(const Reply& reply);
  void on(const Event& event);
  void start_over();
  void want_picture();
  void ask_due();
  void complete();
  [[nodiscard]] TimePoint next_deadline() const;
  std::uint64_t send(RequestBody body);

  FollowerOptions options_;
  Link& link_;
  TimePoint now_{};
  bool started_ = false;
  bool following_ = false;
  DaemonId daemon_;
  TimePoint heard_{};
  Duration lease_ = moddev::limits::kLease;
  Epoch committed_ = 0;  // of the last picture

  std::uint64_t last_id_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t hello_ = 0;  // the ids of the open questions; 0: none
  std::uint64_t snapshot_ = 0;
  std::uint64_t status_ = 0;
  TimePoint ask_again_ = kNever;
  bool wanted_ = false;            // a picture, asked for or to be asked for
  bool wanted_once_more_ = false;  // something happened since it was asked for
  std::optional<Manifest> manifest_;
  std::optional<std::vector<std::int64_t>> pids_;
  std::optional<FleetPicture> picture_;
  std::string problem_;
};

}  // namespace moddev::supervisor
