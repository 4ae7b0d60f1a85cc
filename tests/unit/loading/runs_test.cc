// Which use of a pin counts as a run of a module, and that no run is lost or counted twice.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "client/src/view_store.h"

namespace moddev {
namespace {

using namespace std::chrono_literals;

/// Has the symbol "there" and bytes, unless it is called "broken".
class Sample final : public LoadedModule {
 public:
  explicit Sample(bool broken) : broken_(broken) {}
  [[nodiscard]] Result<void*> symbol(std::string_view name) const override {
    if (name != "there") return Error{ErrorCode::kNotFound, "no such symbol", 0};
    return const_cast<void*>(static_cast<const void*>(this));
  }
  [[nodiscard]] Result<std::span<const std::byte>> bytes() const override {
    if (broken_) return Error{ErrorCode::kIo, "cannot be read", 0};
    return std::span<const std::byte>(bytes_);
  }

 private:
  bool broken_;
  std::array<std::byte, 4> bytes_{};
};

std::shared_ptr<const View> view_of(Epoch epoch, const std::vector<std::string>& names, Version version = 1) {
  Manifest manifest;
  manifest.epoch = epoch;
  View::Modules modules;
  for (const std::string& name : names) {
    manifest.modules[name] = {name, ModuleKind::kBlob, version, {}, 4, name, {}, 0};
    modules[name] = std::make_shared<Sample>(name == "broken");
  }
  return std::make_shared<const View>(std::move(manifest), std::move(modules));
}

using Counted = std::map<std::string, std::uint64_t>;

class Runs : public ::testing::Test {
 protected:
  void SetUp() override { publish(view_of(1, {"a", "b", "broken", "c"})); }
  void publish(std::shared_ptr<const View> view) {
    live = view;
    store.publish(std::move(view), TimePoint{});
  }
  [[nodiscard]] Counted counted() const {
    Counted all;
    live->each_run([&](const ModuleUse& use, const RunTotals& totals) {
      if (totals.runs > 0) all[std::string(use.name)] = totals.runs;
    });
    return all;
  }
  [[nodiscard]] RunTotals totals_of(const std::string& name) const {
    RunTotals found;
    live->each_run([&](const ModuleUse& use, const RunTotals& totals) {
      if (use.name == name) found = totals;
    });
    return found;
  }
  ViewStore store;
  std::shared_ptr<const View> live;
};

TEST_F(Runs, OneEndsWithItsPin) {
  Pin pin = store.pin();
  ASSERT_TRUE(pin.bytes("a").ok());
  EXPECT_EQ(counted(), Counted());
  pin.release();
  EXPECT_EQ(counted(), (Counted{{"a", 1}}));
  { (void)store.pin().symbol("a", "there"); }
  EXPECT_EQ(counted(), (Counted{{"a", 2}}));
}

TEST_F(Runs, EachModuleOfAPinCountsOnce) {
  {
    const Pin pin = store.pin();
    for (int i = 0; i < 3; ++i) {
      (void)pin.bytes("a");
      (void)pin.symbol("a", "there");
      (void)pin.function<int()>("b", "there");
    }
  }
  EXPECT_EQ(counted(), (Counted{{"a", 1}, {"b", 1}}));
}

TEST_F(Runs, APinThatHandedOutNothingIsNone) {
  {
    const Pin pin = store.pin();
    (void)pin.symbol("a", "missing");
    (void)pin.symbol("nobody", "there");
    (void)pin.bytes("nobody");
    (void)pin.bytes("broken");
    (void)pin.module("a");
    (void)pin.modules();
    (void)pin.epoch();
  }
  { const Pin idle = store.pin(); }
  EXPECT_EQ(counted(), Counted());
}

TEST_F(Runs, ASlotForgetsTheRunsOfThePinBefore) {
  (void)store.pin().bytes("a");
  { const Pin idle = store.pin(); }
  (void)store.pin().bytes("b");
  EXPECT_EQ(counted(), (Counted{{"a", 1}, {"b", 1}}));
}

TEST_F(Runs, APinThatMovesTakesItsRunsAlong) {
  Pin pin = store.pin();
  (void)pin.bytes("a");
  Pin moved = std::move(pin);
  pin.release();  // NOLINT(bugprone-use-after-move): it holds nothing any more
  EXPECT_EQ(counted(), Counted());
  (void)moved.bytes("b");
  Pin other = store.pin();
  (void)other.bytes("c");
  moved = std::move(other);
  EXPECT_EQ(counted(), (Counted{{"a", 1}, {"b", 1}})) << "what it held was let go";
  std::thread([last = std::move(moved)]() mutable {
    (void)last.bytes("a");
    last.release();
  }).join();
  EXPECT_EQ(counted(), (Counted{{"a", 2}, {"b", 1}, {"c", 1}}));
}

TEST_F(Runs, PinsWithinEachOtherCountEach) {
  const auto nested = [&] {
    const Pin outer = store.pin();
    (void)outer.bytes("a");
    (void)store.pin().bytes("a");
    EXPECT_EQ(counted(), (Counted{{"a", 1}}));
  };
  nested();
  EXPECT_EQ(counted(), (Counted{{"a", 2}}));
}

TEST_F(Runs, AnyNumberOfModulesUnderOnePinCounts) {
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back("m" + std::to_string(i));
  publish(view_of(2, names));
  for (int pins = 1; pins <= 2; ++pins) {
    {
      const Pin pin = store.pin();
      for (const std::string& name : names) {
        (void)pin.bytes(name);
        (void)pin.bytes(name);
      }
    }
    const Counted all = counted();
    EXPECT_EQ(all.size(), names.size());
    for (const auto& [name, runs] : all) EXPECT_EQ(runs, pins) << name;
  }
}

TEST_F(Runs, TellHowLongTheyTookAndWhenTheLastOneEnded) {
  SystemClock clock;
  const TimePoint begin = clock.now();
  TimePoint end = begin;
  {
    const Pin pin = store.pin();
    (void)pin.bytes("a");
    while (end - begin < 3ms) end = clock.now();
  }
  const RunTotals first = totals_of("a");
  EXPECT_GE(first.last, end);
  EXPECT_LE(first.last, clock.now());
  EXPECT_GE(first.longest_ns, 2'000'000U);
  EXPECT_EQ(first.longest_ns, first.total_ns);
  (void)store.pin().bytes("a");
  const RunTotals second = totals_of("a");
  EXPECT_EQ(second.runs, 2U);
  EXPECT_GT(second.total_ns, first.total_ns);
  EXPECT_GE(second.last, first.last);
}

TEST_F(Runs, AreOfTheViewThatWasHeld) {
  Pin old = store.pin();
  (void)old.bytes("a");
  const std::shared_ptr<const View> former = live;
  publish(view_of(2, {"a"}, 2));
  (void)store.pin().bytes("a");
  EXPECT_EQ(counted(), (Counted{{"a", 1}}));
  old.release();
  EXPECT_EQ(counted(), (Counted{{"a", 1}}));
  former->each_run([](const ModuleUse& use, const RunTotals& totals) {
    EXPECT_EQ(use.version, 1U);
    EXPECT_EQ(totals.runs, 1U);
  });
}

TEST_F(Runs, NoneIsLostAmongThreads) {
  constexpr std::uint64_t kThreads = 4;
  constexpr std::uint64_t kPins = 2'000;
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    std::uint64_t last = 0;
    while (!stop) {
      const std::uint64_t runs = totals_of("a").runs;
      EXPECT_GE(runs, last);
      last = runs;
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; i < kPins; ++i) {
        const Pin pin = store.pin();
        (void)pin.bytes("a");
        if (i % 2 == 0) (void)pin.symbol("b", "there");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  stop = true;
  reader.join();
  EXPECT_EQ(counted(), (Counted{{"a", kThreads * kPins}, {"b", kThreads * kPins / 2}}));
}

}  // namespace
}  // namespace moddev
