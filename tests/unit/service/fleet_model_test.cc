// The fleet against random members on a bad network in virtual time, with checkers: never half (nothing is
// committed unless every voter that still counts is ready and none refused), never back, each epoch decided
// exactly once and before its deadline, and everyone who lives ends on the newest epoch.
#include <gtest/gtest.h>

#include <map>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "daemon/fleet.h"

namespace moddev::daemon {
namespace {

using Kind = FleetAction::Kind;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kSwitches = 25;

Uuid uuid(std::uint64_t n) {
  Uuid id;
  for (std::size_t i = 0; i < sizeof n; ++i) id.bytes[15 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}

/// An executor as the fleet sees it: what it would answer, and whether it still can.
struct Executor {
  Uuid id;
  bool dead = false;
  TimePoint stopped_until{};
  TimePoint stuck_until{};  // lives and says so, but prepares and applies nothing
  Epoch runs = 0;
  std::set<Epoch> prepared;
  std::set<Epoch> refused;
  bool member = false;  // as far as it knows
};

struct Delivery {
  TimePoint at{};
  std::uint64_t order = 0;
  bool to_daemon = true;
  std::size_t executor = 0;
  RequestBody request;
  Kind event = Kind::kRepeatAnnounce;
  Epoch epoch = 0;
  bool operator>(const Delivery& other) const {
    return std::tie(at, order) > std::tie(other.at, other.order);
  }
};

class Model {
 public:
  explicit Model(unsigned seed) : random_(seed) {
    loss_ = pick(0, 30);
    const int count = pick(0, 7);
    for (int n = 0; n < count; ++n) add();
  }

  void run() {
    for (int n = 0; n < kSwitches; ++n) {
      disturb();
      switch_once();
      if (testing::Test::HasFailure()) return;
    }
    heal();
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }

  void add() {
    executors_.push_back({});
    executors_.back().id = uuid(executors_.size());
  }

  void disturb() {
    if (chance(15)) add();
    for (Executor& e : executors_) {
      if (chance(4)) e.dead = true;
      if (chance(6)) e.stopped_until = now_ + milliseconds(pick(100, 9000));
      if (chance(2)) e.stuck_until = now_ + seconds(pick(1, 60));
    }
  }

  void send(std::size_t executor, RequestBody request) {
    if (chance(loss_)) return;
    Delivery d{now_ + milliseconds(pick(0, 40)), ++order_, true, executor, std::move(request), {}, 0};
    network_.push(d);
    if (chance(10)) {
      d.at += milliseconds(pick(0, 4000));  // a late copy
      d.order = ++order_;
      network_.push(d);
    }
  }

  void publish(Kind event, Epoch epoch) {
    for (std::size_t n = 0; n < executors_.size(); ++n) {
      if (chance(loss_)) continue;
      network_.push({now_ + milliseconds(pick(0, 40)), ++order_, false, n, {}, event, epoch});
    }
  }

  void ack(std::size_t n, Epoch epoch, AckPhase phase) {
    AckRequest request{executors_[n].id, epoch, phase, {}, 0};
    if (phase == AckPhase::kFailed) request.failures = {{"m", "refused"}};
    send(n, request);
  }

  void on_event(std::size_t n, Kind event, Epoch epoch) {
    Executor& e = executors_[n];
    if (now_ < e.stuck_until) return;
    if (event == Kind::kRepeatAnnounce && epoch > e.runs) {
      if (!e.prepared.contains(epoch) && !e.refused.contains(epoch))
        (!healed_ && chance(5) ? e.refused : e.prepared).insert(epoch);
      ack(n, epoch, e.refused.contains(epoch) ? AckPhase::kFailed : AckPhase::kPrepared);
      if (!healed_ && chance(2)) {  // changes its mind
        e.refused.insert(epoch);
        ack(n, epoch, AckPhase::kFailed);
      }
    }
    if (event == Kind::kRepeatCommit && !e.refused.contains(epoch)) {
      ASSERT_GE(epoch, 1U);
      e.runs = std::max(e.runs, epoch);
      ack(n, epoch, AckPhase::kApplied);
    }
  }

  void on_request(std::size_t n, const RequestBody& request) {
    Executor& e = executors_[n];
    if (const auto* join = std::get_if<JoinRequest>(&request)) {
      fleet_.join(*join, committed_, now_);
      e.member = true;
      if (committed_ > e.runs && !e.refused.contains(committed_))
        on_event(n, Kind::kRepeatCommit, committed_);
    } else if (const auto* alive = std::get_if<AliveRequest>(&request)) {
      e.member = fleet_.alive(*alive, now_);
    } else if (const auto* ack = std::get_if<AckRequest>(&request)) {
      const bool counted = fleet_.ack(*ack, now_);
      if (counted && deciding_ && ack->epoch == epoch_ && ack->phase == AckPhase::kPrepared)
        ready_.insert(e.id);
      // One that was excluded and came back has no vote in this switch any more.
      const bool votes = voters_.contains(e.id) && !excluded_.contains(e.id);
      if (counted && deciding_ && votes && ack->epoch == epoch_ && ack->phase == AckPhase::kFailed) {
        refusers_.insert(e.id);
      }
    }
  }

  /// Every executor that runs says so once in a while, and joins when it is no member.
  void tick() {
    for (std::size_t n = 0; n < executors_.size(); ++n) {
      Executor& e = executors_[n];
      if (e.dead || now_ < e.stopped_until) continue;
      if (e.member) {
        send(n, AliveRequest{e.id, ExecutorState::kLive, e.runs, {}, 0});
      } else {
        send(n, JoinRequest{{e.id, "e" + std::to_string(n), "h", 1}, {}, e.runs});
      }
    }
  }

  void deliver() {
    while (!network_.empty() && network_.top().at <= now_) {
      const Delivery d = network_.top();
      network_.pop();
      Executor& e = executors_[d.executor];
      if (d.to_daemon) {
        on_request(d.executor, d.request);
      } else if (!e.dead && now_ >= e.stopped_until) {
        on_event(d.executor, d.event, d.epoch);
      }
    }
  }

  void check(const FleetAction& action) {
    switch (action.kind) {
      case Kind::kCommit:
        ASSERT_TRUE(deciding_) << "decided twice";
        ASSERT_EQ(action.epoch, epoch_);
        ASSERT_GT(action.epoch, committed_) << "went back";
        ASSERT_TRUE(refusers_.empty()) << "committed against a refusal";
        for (const Uuid& voter : voters_) {
          if (fleet_.is_member(voter) && !excluded_.contains(voter)) {
            ASSERT_TRUE(ready_.contains(voter)) << "committed half";
          }
        }
        ASSERT_LE(now_, decide_by_);
        deciding_ = false;
        committed_ = action.epoch;
        fleet_.committed(now_);
        settle_by_ = now_ + FleetOptions{}.apply_deadline;
        publish(Kind::kRepeatCommit, action.epoch);
        break;
      case Kind::kAbort:
        ASSERT_TRUE(deciding_) << "decided twice";
        ASSERT_FALSE(action.failures.empty()) << "aborted without a reason";
        ASSERT_LE(now_, decide_by_ + FleetOptions{}.refusal_grace);
        deciding_ = false;
        break;
      case Kind::kSettled:
        ASSERT_EQ(committed_, action.epoch);
        ASSERT_LE(action.applied + action.excluded, executors_.size());
        ASSERT_LE(now_, settle_by_);
        break;
      case Kind::kExcluded:
        excluded_.insert(action.executor->id);
        break;
      case Kind::kRepeatAnnounce:
      case Kind::kRepeatCommit:
        publish(action.kind, action.epoch);
        break;
      default:
        break;
    }
  }

  /// Advances to the next thing that is due, wherever.
  void turn() {
    TimePoint next = std::min(due_, tick_at_);
    if (!network_.empty()) next = std::min(next, network_.top().at);
    now_ = std::max(now_, next);
    if (now_ >= tick_at_) {
      tick();
      tick_at_ = now_ + milliseconds(900);
    }
    deliver();
    std::vector<FleetAction> actions;
    do {
      actions.clear();
      due_ = fleet_.step(now_, actions);
      for (const FleetAction& action : actions) check(action);
      if (testing::Test::HasFatalFailure()) return;
    } while (!actions.empty());
  }

  void switch_once() {
    const int idle = pick(0, 5);
    for (int n = 0; n < idle; ++n) turn();
    ++epoch_;
    voters_.clear();
    ready_.clear();
    refusers_.clear();
    excluded_.clear();
    for (const ExecutorStatus& status : fleet_.status(committed_, now_)) {
      // Nor has one that was too late and is back, but behind.
      const bool late = status.detail.find("did not") != std::string::npos;
      if (fleet_.is_member(status.identity.id) && status.state != ExecutorState::kFailed && !late) {
        voters_.insert(status.identity.id);
      }
    }
    deciding_ = true;
    decide_by_ = now_ + FleetOptions{}.prepare_deadline;
    fleet_.begin(epoch_, now_, now_);
    due_ = now_;
    publish(Kind::kRepeatAnnounce, epoch_);
    for (int turns = 0; fleet_.busy() && !testing::Test::HasFailure(); ++turns) {
      ASSERT_LT(turns, 100'000) << "never ends";
      turn();
    }
  }

  /// The network is good again and everyone who lives runs: all must reach the newest epoch.
  void heal() {
    loss_ = 0;
    healed_ = true;
    for (Executor& e : executors_) {
      e.stopped_until = now_;
      e.stuck_until = now_;
      e.refused.clear();
    }
    const TimePoint end = now_ + seconds(20);
    ++epoch_;
    deciding_ = true;
    decide_by_ = end + seconds(30);
    settle_by_ = decide_by_;
    while (now_ < end && !testing::Test::HasFailure()) {
      turn();
      for (std::size_t n = 0; n < executors_.size(); ++n) {
        Executor& e = executors_[n];
        if (!e.dead && e.member && e.runs < committed_) on_event(n, Kind::kRepeatCommit, committed_);
      }
    }
    for (const ExecutorStatus& status : fleet_.status(committed_, now_)) {
      if (!fleet_.is_member(status.identity.id)) continue;
      EXPECT_EQ(status.epoch, committed_) << status.identity.name;
      EXPECT_EQ(status.state, ExecutorState::kLive) << status.identity.name << ": " << status.detail;
    }
    std::size_t living = 0;
    for (const Executor& e : executors_) living += e.dead ? 0 : 1;
    EXPECT_EQ(fleet_.members(), living);
  }

  std::mt19937 random_;
  int loss_ = 0;
  bool healed_ = false;
  Fleet fleet_{FleetOptions{}};
  std::vector<Executor> executors_;
  std::priority_queue<Delivery, std::vector<Delivery>, std::greater<>> network_;
  std::uint64_t order_ = 0;
  TimePoint now_{seconds(1000)};
  TimePoint due_ = kNever;
  TimePoint tick_at_{seconds(1000)};
  Epoch epoch_ = 0;
  Epoch committed_ = 0;
  bool deciding_ = false;
  TimePoint decide_by_{};
  TimePoint settle_by_{};
  std::set<Uuid> voters_;
  std::set<Uuid> ready_;
  std::set<Uuid> refusers_;
  std::set<Uuid> excluded_;
};

TEST(FleetModel, KeepsItsPromisesUnderEverySeed) {
  for (unsigned seed = 1; seed <= 1500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Model(seed).run();
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace moddev::daemon
