// One checker for each guarantee of the project, over a simulated world. Each is told what crosses the seams
// and what the executors show, and reports the first thing that must not be. They know nothing of how the
// cores work; everything they compare comes from outside: the contents that writers finished, the messages
// that left the daemon, what the journal holds at that moment, and the views that executors run.
//
//   guarantee                        checker
//   1 never torn                     NeverTorn
//   2 never missed                   NeverMissed
//   3 no empty bump, never reused    OnlyRises
//   4 all or nothing per process     PerProcess
//   5 all or nothing per fleet       PerFleet
//   7 last good survives             LastGood
//   8 converges                      Converges
//   9 bounded                        Bounded
// and of the fleet's ways: every epoch is decided in time (InTime), whoever goes back does so by a recorded
// epoch, with a reason, to what ran (Returns), after a restart nothing is decided without those that ran what
// is committed (Rejoins), and who ran what is told as it was (RunsTold).
#pragma once

#include <moddev/client.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "client/src/view.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "protocol/messages.h"
#include "tests/sim/daemon_process.h"

namespace moddev::sim {

struct Violation {
  std::string checker;
  std::string what;
  TimePoint at{};
};

/// Keeps the first violation.
class Verdict {
 public:
  void set_now(TimePoint now) { now_ = now; }
  void fail(std::string checker, std::string what) {
    if (!first_) first_ = Violation{std::move(checker), std::move(what), now_};
  }
  [[nodiscard]] const std::optional<Violation>& first() const { return first_; }

 private:
  TimePoint now_{};
  std::optional<Violation> first_;
};

/// What is known of one epoch.
struct EpochFacts {
  Manifest manifest;
  Digest digest;
  bool committed = false;
  bool aborted = false;
};

/// One version history, as its announcements told it.
struct RepoFacts {
  Uuid repo;
  std::map<Epoch, EpochFacts> epochs{{0, {}}};
  /// Whether the newest one is committed or aborted.
  [[nodiscard]] bool decided() const {
    const auto& [epoch, facts] = *epochs.rbegin();
    return epoch == 0 || facts.committed || facts.aborted;
  }
};

/// Every history of this world, newest last. The checkers share it.
class Chronicle {
 public:
  /// The history of this repo, begun when it is new.
  RepoFacts& of(const Uuid& repo);
  [[nodiscard]] const EpochFacts* find(const Digest& manifest) const;
  [[nodiscard]] std::size_t repos() const { return repos_.size(); }
  /// Oldest first. A new one goes on from what the former left.
  [[nodiscard]] const std::vector<RepoFacts>& all() const { return repos_; }
  [[nodiscard]] RepoFacts& newest() { return repos_.back(); }
  [[nodiscard]] const RepoFacts& newest() const { return repos_.back(); }

 private:
  std::vector<RepoFacts> repos_;
};

/// Published bytes are the bytes of one finished file.
class NeverTorn {
 public:
  NeverTorn(Verdict& verdict, std::function<bool(const Digest&)> finished)
      : verdict_(verdict), finished_(std::move(finished)) {}
  void announced(const AnnounceEvent& announce);
  void loaded(std::size_t executor, const View& view);

 private:
  Verdict& verdict_;
  std::function<bool(const Digest&)> finished_;
};

/// Once writing has stopped, the published content is the directory's.
class NeverMissed {
 public:
  explicit NeverMissed(Verdict& verdict) : verdict_(verdict) {}
  /// Nothing when equal, else the difference for a person.
  /// What is held after a return is expected as it is held.
  [[nodiscard]] static std::optional<std::string> difference(const Manifest& committed,
                                                             const std::map<std::string, Digest>& directory,
                                                             const daemon::HoldSet& holds);
  void settled(const Manifest& committed, const std::map<std::string, Digest>& directory,
               const daemon::HoldSet& holds);

 private:
  Verdict& verdict_;
};

/// Versions and epochs rise exactly when something changed, and no number ever stands for two things.
class OnlyRises {
 public:
  /// `canaries`: the committed content may be announced again to bring them back.
  OnlyRises(Verdict& verdict, Chronicle& chronicle, bool canaries)
      : verdict_(verdict), chronicle_(chronicle), canaries_(canaries) {}
  /// `repeated`: its seq was sent before.
  void announced(const Uuid& repo, const AnnounceEvent& announce, bool repeated);
  /// Numbers that nobody heard of may be missing after it.
  void daemon_died() {
    died_ = true;
    ++deaths_;
  }
  /// `fate`: of what the former daemon left.
  void reopened(const daemon::Journal& journal, Fate fate);

 private:
  struct ModuleFacts {
    Version last = 0;
    std::map<Version, Digest> digests;
    std::uint64_t deaths = 0;  // of the daemon, when it was told last
  };
  void check_change(const std::string& where, const ModuleChange& change, const Manifest& base);

  Verdict& verdict_;
  Chronicle& chronicle_;
  const bool canaries_;
  std::map<std::pair<std::size_t, std::string>, ModuleFacts> modules_;  // by number of the repo and name
  bool died_ = false;
  std::uint64_t deaths_ = 0;
};

/// A view is exactly one announced epoch, and what is held does not change.
class PerProcess {
 public:
  PerProcess(Verdict& verdict, const Chronicle& chronicle) : verdict_(verdict), chronicle_(chronicle) {}
  void view(std::size_t executor, const View& view);
  void pin(std::size_t executor, Epoch taken, Epoch now);

 private:
  Verdict& verdict_;
  const Chronicle& chronicle_;
};

/// An epoch is committed for every member or for none, and recorded before anyone hears of it. Where the
/// person wants no unanimity, a refusal stops nobody else.
class PerFleet {
 public:
  PerFleet(Verdict& verdict, Chronicle& chronicle, daemon::SyncPolicy policy)
      : verdict_(verdict), chronicle_(chronicle), policy_(policy) {}
  void daemon_started(const daemon::Journal& journal);
  void daemon_stopped();
  void published(const Event& event);
  void replied(const Uuid* joiner, const Reply& reply);
  void requested(const Request& request);
  void told(const daemon::DaemonEvent& event);
  /// After each step of the daemon: judges the commits of that step.
  void stepped();
  /// Canaries may run what is not decided yet; nobody else.
  void applied(std::size_t executor, const Uuid& id, const View& view);

 private:
  struct Member {
    Epoch epoch = 0;
    Epoch failed = 0;
  };
  void check_committed(Epoch claimed, const char* where);

  Verdict& verdict_;
  Chronicle& chronicle_;
  const daemon::SyncPolicy policy_;
  const daemon::Journal* journal_ = nullptr;
  std::map<Uuid, Member> members_;
  std::map<Epoch, std::set<Uuid>> voters_;    // of epochs announced in this run
  std::map<Epoch, std::set<Uuid>> refusals_;  // members that said kFailed before the decision
  std::vector<Epoch> commits_of_step_;
  std::map<Digest, std::set<Uuid>> trials_;                // canaries by manifest
  std::map<std::size_t, std::set<Digest>> ran_as_canary_;  // by executor: what it may start with again
};

/// An executor goes on with what it has, whatever happens, and says when that is stale. It refuses only what
/// cannot be loaded or had, never for want of bytes that it did not ask for.
class LastGood {
 public:
  LastGood(Verdict& verdict, const Chronicle& chronicle) : verdict_(verdict), chronicle_(chronicle) {}
  void started(std::size_t executor) { last_[executor] = 0; }
  /// What it tells its person about an epoch that it cannot load.
  void refused(std::size_t executor, const ClientEvent& event);
  /// `silent`: how long nothing came from the daemon.
  void stepped(std::size_t executor, const View* view, bool connected, Duration silent);

 private:
  Verdict& verdict_;
  const Chronicle& chronicle_;
  std::map<std::size_t, Epoch> last_;
};

/// An epoch that was announced is committed or aborted within the deadlines of the fleet.
class InTime {
 public:
  InTime(Verdict& verdict, Duration limit) : verdict_(verdict), limit_(limit) {}
  void announced(Epoch epoch) {
    epoch_ = epoch;
    waited_ = {};
  }
  void decided() { epoch_ = 0; }
  void daemon_stopped() { epoch_ = 0; }
  /// The daemon has been awake for so long more.
  void passed(Duration awake);

 private:
  Verdict& verdict_;
  const Duration limit_;
  Epoch epoch_ = 0;  // 0: none is undecided
  Duration waited_{};
};

/// Old content comes back only as a recorded return: to an epoch that was committed, whole, and only after
/// somebody died, fell silent or could not use what is committed, since that was announced (canaries run it
/// before it is committed). And what nobody can use does not stay.
class Returns {
 public:
  /// `delay`: for so long messages can be under way, so that who died seems to live.
  Returns(Verdict& verdict, const Chronicle& chronicle, Duration lease, Duration delay)
      : verdict_(verdict), chronicle_(chronicle), lease_(lease), delay_(delay) {}
  /// Returns whether it is a return.
  bool announced(const AnnounceEvent& announce, const daemon::Journal& journal, TimePoint now);
  /// Somebody died, or cannot use what it was given.
  void trouble(TimePoint now) { trouble_ = now; }
  /// The daemon has got a message of this executor.
  void heard(std::size_t executor, TimePoint now) { heard_[executor] = now; }
  void committed() { since_ = announced_; }
  /// All are up and have had time: `running` is how many run what is committed.
  void at_rest(const daemon::Journal& journal, std::size_t running);

 private:
  Verdict& verdict_;
  const Chronicle& chronicle_;
  const Duration lease_;
  const Duration delay_;
  TimePoint announced_{};  // the newest epoch
  TimePoint since_{};      // the newest committed one was announced
  std::optional<TimePoint> trouble_;
  std::map<std::size_t, TimePoint> heard_;
};

/// After a restart of the daemon nothing new is announced before the living executors that ran what is
/// committed have joined again, or have let a lease pass.
class Rejoins {
 public:
  Rejoins(Verdict& verdict, Duration lease) : verdict_(verdict), lease_(lease) {}
  /// `up`: the executors that live, by id.
  void daemon_started(const daemon::Journal& journal, const std::set<Uuid>& up, TimePoint now);
  void gone(const Uuid& executor) { missing_.erase(executor); }
  void joined(const Uuid& executor) { missing_.erase(executor); }
  void announced(Epoch epoch, TimePoint now);

 private:
  Verdict& verdict_;
  const Duration lease_;
  std::set<Uuid> missing_;
  TimePoint started_{};
};

/// Of runs nothing is told that did not happen, and in the end all that living executors have run is
/// recorded, whatever was lost on the way.
class RunsTold {
 public:
  explicit RunsTold(Verdict& verdict) : verdict_(verdict) {}
  /// Runs that have ended in one executor since it was started, by repo, module and version.
  using Runs = std::map<std::tuple<Uuid, std::string, Version>, std::uint64_t>;
  /// `counted`: until now.
  void told(std::size_t executor, const std::vector<RunReport>& runs, const Uuid& repo, const Runs& counted);
  /// Nothing when the journal has all of it, else the difference for a person.
  [[nodiscard]] static std::optional<std::string> difference(const daemon::Journal& journal, const Uuid& id,
                                                             const Runs& counted);
  void at_rest(std::size_t executor, const std::string& difference);

 private:
  Verdict& verdict_;
};

/// Nothing grows or spins without end.
class Bounded {
 public:
  explicit Bounded(Verdict& verdict) : verdict_(verdict) {}
  void started(std::size_t executor) { executors_[executor] = {}; }
  /// Requests but for those of bytes: how many an executor sent so far.
  void requests(std::size_t executor, std::uint64_t sent, TimePoint now);
  /// A process did a step; many at one instant mean that it does not rest.
  void step(std::size_t process, TimePoint now);
  /// In quiet times an executor holds the modules of one view, and of those that are pinned.
  void modules_alive(std::size_t executor, std::uint64_t alive, std::uint64_t expected);
  void overlapping(std::size_t executor, std::uint64_t preparations);

 private:
  struct Requests {
    TimePoint since{};
    std::uint64_t before = 0;
  };
  Verdict& verdict_;
  std::map<std::size_t, Requests> executors_;
  std::map<std::size_t, std::pair<TimePoint, std::uint64_t>> steps_;
};

}  // namespace moddev::sim
