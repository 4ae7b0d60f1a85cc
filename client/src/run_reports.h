// What of the runs the daemon is to be told: adds up what the views have counted, for each version of a
// module since the start of this executor, and remembers what the daemon has confirmed. Numbers are told
// until a message that told them is answered, so that a lost one loses nothing. Time is passed in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "client/src/runs.h"
#include "client/src/view.h"
#include "protocol/clock.h"
#include "protocol/messages.h"

namespace moddev::client {

class RunReports {
 public:
  using Views = std::vector<std::shared_ptr<const View>>;

  /// Only views with this serial or a greater one count from now on: the others' versions are of another
  /// history.
  void begin_history(std::uint64_t first_serial);
  /// Nobody holds this view any more: its numbers are final.
  void drained(const View& view);
  /// What `views`, all that are not drained, have to tell and the daemon has not confirmed: at most `most`,
  /// those next that were told the longest time ago. Told with a message that is sent at `now`, and not again
  /// at the same time.
  [[nodiscard]] std::vector<RunReport> due(const Views& views, std::size_t most, TimePoint now,
                                           WallTime wall);
  /// The message that was sent at `sent` has been answered.
  void confirmed(TimePoint sent);
  /// The daemon has not necessarily written down what it has confirmed: all is told again.
  void tell_anew();
  /// Versions that are remembered.
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  using Key = std::pair<std::string, Version>;
  struct Entry {
    RunTotals ended;  // of drained views
    RunTotals now;    // with the others
    bool in_view = false;
    std::uint64_t turn = 0;  // when it was told last
    RunTotals told;
    TimePoint told_at{};
    RunTotals confirmed;
  };
  /// Null when there is no room.
  Entry* entry_of(const ModuleUse& use);
  void make_room();

  std::map<Key, Entry> entries_;
  std::uint64_t first_serial_ = 0;
  std::uint64_t turn_ = 0;
};

}  // namespace moddev::client
