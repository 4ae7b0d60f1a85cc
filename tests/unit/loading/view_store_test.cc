#include "client/src/view_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "client/src/pin_slots.h"

namespace moddev {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{};

std::shared_ptr<const View> view_of(Epoch epoch) {
  Manifest manifest;
  manifest.epoch = epoch;
  return std::make_shared<const View>(std::move(manifest), View::Modules{});
}

std::vector<Epoch> epochs_of(const std::vector<std::shared_ptr<const View>>& views) {
  std::vector<Epoch> epochs;
  for (const auto& view : views) epochs.push_back(view->epoch());
  return epochs;
}

/// Collects until something comes: a slot may be about to load at the moment of a look.
std::vector<Epoch> collect_within(ViewStore& store, std::chrono::milliseconds limit = 5s) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  do {
    auto epochs = epochs_of(store.collect());
    if (!epochs.empty()) return epochs;
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < deadline);
  return {};
}

TEST(ViewStore, HasNothingToPinBeforeTheFirstEpoch) {
  ViewStore store;
  const Pin pin = store.pin();
  EXPECT_FALSE(pin);
  EXPECT_EQ(pin.epoch(), 0U);
  const auto missing = pin.symbol("scorer", "score");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, testing::HasSubstr("no epoch is live yet"));
}

TEST(ViewStore, APinKeepsItsEpochWhileTheNextIsLive) {
  ViewStore store;
  store.publish(view_of(1), kStart);
  Pin old = store.pin();
  store.publish(view_of(2), kStart + 1s);
  EXPECT_EQ(old.epoch(), 1U);
  EXPECT_EQ(store.pin().epoch(), 2U);
  EXPECT_THAT(store.collect(), testing::IsEmpty());
  EXPECT_THAT(store.held(kStart + 3s), testing::ElementsAre(PinReport{1, 2000, 1}));
  old = Pin();
  EXPECT_THAT(epochs_of(store.collect()), testing::ElementsAre(1));
  EXPECT_THAT(store.collect(), testing::IsEmpty());
  EXPECT_THAT(store.held(kStart + 3s), testing::IsEmpty());
}

TEST(ViewStore, GivesBackWhatIsDrainedAlthoughAnOlderEpochIsHeld) {
  ViewStore store;
  store.publish(view_of(1), kStart);
  const Pin oldest = store.pin();
  for (Epoch epoch = 2; epoch <= 5; ++epoch) store.publish(view_of(epoch), kStart);
  EXPECT_THAT(epochs_of(store.collect()), testing::ElementsAre(2, 3, 4));
  EXPECT_EQ(store.current()->epoch(), 5U);
}

TEST(ViewStore, CountsEveryPinOfEveryEpoch) {
  ViewStore store;
  store.publish(view_of(1), kStart);
  std::vector<Pin> first;
  for (int i = 0; i < 3; ++i) first.push_back(store.pin());
  store.publish(view_of(2), kStart);
  std::vector<Pin> second;
  for (int i = 0; i < 5; ++i) second.push_back(store.pin());
  store.publish(view_of(3), kStart + 1ms);
  EXPECT_THAT(store.held(kStart + 10ms), testing::ElementsAre(PinReport{1, 10, 3}, PinReport{2, 9, 5}));
}

TEST(ViewStore, KeepsApartTwoStoresOfOneProcess) {
  ViewStore one;
  ViewStore other;
  one.publish(view_of(1), kStart);
  other.publish(view_of(7), kStart);
  const Pin pin = one.pin();
  other.publish(view_of(8), kStart);
  one.publish(view_of(2), kStart);
  EXPECT_THAT(epochs_of(other.collect()), testing::ElementsAre(7));
  EXPECT_THAT(one.collect(), testing::IsEmpty());
}

TEST(ViewStore, AThreadMayHoldFarMorePinsThanABlockHasSlots) {
  ViewStore store;
  store.publish(view_of(1), kStart);
  constexpr std::size_t kMany = pin_slots::kSlotsPerBlock * (pin_slots::kBlocksLookedThrough + 5) * 3;
  std::vector<Pin> pins;
  for (std::size_t i = 0; i < kMany; ++i) pins.push_back(store.pin());
  store.publish(view_of(2), kStart);
  EXPECT_THAT(store.held(kStart), testing::ElementsAre(PinReport{1, 0, kMany}));
  pins.clear();
  EXPECT_THAT(epochs_of(store.collect()), testing::ElementsAre(1));
  const std::size_t blocks = pin_slots::block_count();
  for (std::size_t i = 0; i < kMany; ++i) pins.push_back(store.pin());
  EXPECT_LE(pin_slots::block_count(), blocks + 1) << "freed slots are used again";
}

TEST(ViewStore, APinMayMoveToAnotherThreadAndOutliveItsOwn) {
  ViewStore store;
  store.publish(view_of(1), kStart);
  Pin carried;
  std::thread([&] { carried = store.pin(); }).join();
  store.publish(view_of(2), kStart);
  EXPECT_THAT(store.collect(), testing::IsEmpty());
  std::thread([pin = std::move(carried)]() mutable { pin.release(); }).join();
  EXPECT_THAT(epochs_of(store.collect()), testing::ElementsAre(1));
}

TEST(ViewStore, ManyShortThreadsReuseTheirSlots) {
  ViewStore store;
  store.publish(view_of(1), kStart);
  std::thread([&] { const Pin pin = store.pin(); }).join();
  const std::size_t blocks = pin_slots::block_count();
  for (int i = 0; i < 200; ++i) std::thread([&] { const Pin pin = store.pin(); }).join();
  EXPECT_EQ(pin_slots::block_count(), blocks);
}

struct PinsAtThreadExit {
  ~PinsAtThreadExit() {
    if (store == nullptr) return;
    const Pin pin = store->pin();
    *epoch = pin.epoch();
  }
  const ViewStore* store = nullptr;
  std::atomic<Epoch>* epoch = nullptr;
};
thread_local PinsAtThreadExit t_late;

TEST(ViewStore, CanBePinnedFromAThreadsLastDestructors) {
  ViewStore store;
  store.publish(view_of(4), kStart);
  std::atomic<Epoch> seen{0};
  const auto end_a_thread = [&] {
    std::thread([&] {
      t_late.store = &store;  // constructed before the slots' own destructor, so destroyed after it
      t_late.epoch = &seen;
      const Pin pin = store.pin();
    }).join();
  };
  end_a_thread();
  EXPECT_EQ(seen, 4U);
  const std::size_t blocks = pin_slots::block_count();
  for (int i = 0; i < 50; ++i) end_a_thread();
  EXPECT_EQ(pin_slots::block_count(), blocks);
}

/// A module that knows whether it is loaded: a reader that finds it unloaded has been betrayed.
class Witness final : public LoadedModule {
 public:
  explicit Witness(std::atomic<int>& alive) : alive_(alive) { alive_.fetch_add(1); }
  ~Witness() override {
    loaded_ = false;
    alive_.fetch_sub(1);
  }
  [[nodiscard]] Result<void*> symbol(std::string_view) const override {
    return const_cast<void*>(static_cast<const void*>(this));
  }
  [[nodiscard]] Result<std::span<const std::byte>> bytes() const override {
    return std::span<const std::byte>();
  }
  // Deliberately not atomic: under TSan a write in the destructor races with a reader that should not be
  // there.
  bool loaded_ = true;

 private:
  std::atomic<int>& alive_;
};

TEST(ViewStore, ReadersNeverSeeAnUnloadedViewWhileHundredsAreSwapped) {
  std::atomic<int> alive{0};
  {
    ViewStore store;
    const auto publish = [&](Epoch epoch) {
      Manifest manifest;
      manifest.epoch = epoch;
      View::Modules modules;
      modules["a"] = std::make_shared<const Witness>(alive);
      modules["b"] = std::make_shared<const Witness>(alive);
      store.publish(std::make_shared<const View>(std::move(manifest), std::move(modules)), kStart);
    };
    publish(1);
    constexpr Epoch kSwaps = 200;
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> wrong{0};
    std::atomic<std::uint64_t> pins{0};
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; ++i) {
      readers.emplace_back([&, i] {
        Epoch last = 0;
        while (!stop.load(std::memory_order_relaxed)) {
          Pin outer = store.pin();
          if (outer.epoch() < last) wrong.fetch_add(1);
          last = outer.epoch();
          const Pin inner = store.pin();
          for (const char* name : {"a", "b"}) {
            const auto address = outer.symbol(name, "witness");
            if (!address.ok() || !static_cast<const Witness*>(*address)->loaded_) wrong.fetch_add(1);
          }
          if (inner.epoch() < outer.epoch()) wrong.fetch_add(1);
          pins.fetch_add(2, std::memory_order_relaxed);
          if (i == 0) std::this_thread::yield();
        }
      });
    }
    while (pins == 0) std::this_thread::yield();  // a loaded machine may start no reader for a while
    std::size_t drained = 0;
    for (Epoch epoch = 2; epoch <= kSwaps; ++epoch) {
      publish(epoch);
      drained += store.collect().size();
      std::this_thread::yield();
    }
    stop = true;
    for (auto& reader : readers) reader.join();
    while (drained < kSwaps - 1) {
      const std::size_t more = collect_within(store).size();
      ASSERT_NE(more, 0U) << "drained " << drained << " of " << kSwaps - 1;
      drained += more;
    }
    EXPECT_EQ(wrong, 0U);
    EXPECT_GT(pins, 0U);
    EXPECT_EQ(alive, 2) << "only the current view is left";
  }
  EXPECT_EQ(alive, 0);
}

TEST(ViewStoreDeathTest, APinThatOutlivesItsStoreIsAProgrammingError) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        Pin survivor;
        ViewStore store;
        store.publish(view_of(1), kStart);
        survivor = store.pin();
      },
      "a Pin outlives its Client");
}

}  // namespace
}  // namespace moddev
