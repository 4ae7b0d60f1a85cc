// The client as its user has it: threads, waiting, calling; over real sockets, with modules that are faked.
#include <gtest/gtest.h>
#include <moddev/client.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/src/client_factory.h"
#include "client/src/limits.h"
#include "client/src/zmq_link.h"
#include "tests/support/session/fake_loader.h"
#include "tests/support/session/zmq_daemon.h"

namespace moddev::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = ClientEvent::Kind;

long one() {
  return 1;
}
long two() {
  return 2;
}
long add(long a, const long& b) {
  return a + b;
}

class Clients : public ::testing::Test {
 protected:
  /// A client named "worker" whose modules export number() by their content: "1..." gives 1, else 2.
  Client connect(const std::string& where) {
    client::RuntimeParts parts;
    parts.session.identity.id = Uuid::random();
    parts.session.identity.name = "worker";
    parts.session.endpoint = where;
    parts.cache = std::make_unique<MemoryBlobStore>();
    parts.views = std::make_shared<ViewStore>();
    auto loader = std::make_unique<FakeLoader>(*parts.cache);
    loader->symbols = [](const ModuleEntry& entry, std::string_view symbol) -> void* {
      if (symbol == "add") return reinterpret_cast<void*>(&add);
      if (symbol != "number") return nullptr;
      return entry.digest == digest_of("1") ? reinterpret_cast<void*>(&one) : reinterpret_cast<void*>(&two);
    };
    loader->refused[digest_of("bad")] = "undefined symbol: foo";
    parts.loader = std::move(loader);
    auto link = client::ZmqLink::connect(where);
    EXPECT_TRUE(link) << link.error().message;
    parts.link = std::move(*link);
    parts.remember = [this](const client::Remembered& what) {
      const std::lock_guard lock(mutex);
      written_down.push_back(what);
    };
    parts.remembered = last_time;
    parts.on_event = [this](const ClientEvent& event) {
      const std::lock_guard lock(mutex);
      events.push_back(event);
    };
    auto made = client::ClientFactory::make(std::move(parts));
    EXPECT_TRUE(made) << made.error().message;
    return std::move(*made);
  }
  [[nodiscard]] std::size_t count(Kind kind) {
    const std::lock_guard lock(mutex);
    return static_cast<std::size_t>(
        std::count_if(events.begin(), events.end(), [&](const ClientEvent& e) { return e.kind == kind; }));
  }
  void publish(ZmqDaemon& daemon, Epoch epoch, const ScriptDaemon::Contents& contents) {
    daemon.with([&](ScriptDaemon& script) { script.publish(script.make_manifest(epoch, contents)); });
  }

  std::mutex mutex;
  std::vector<ClientEvent> events;
  std::vector<client::Remembered> written_down;
  std::optional<client::Remembered> last_time;
  PrivateDirectory directory;
  std::string endpoint = "ipc://" + directory.path() + "/d.sock";
};

TEST_F(Clients, CallsTheNewestVersion) {
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"m", "1"}});
  Client client = connect(endpoint);
  ASSERT_TRUE(client.wait_for("m", seconds(10)));
  EXPECT_TRUE(client.connected());
  auto number = client.function<long()>("m", "number");
  auto sum = client.function<long(long, const long&)>("m", "add");
  EXPECT_EQ(number(), 1);
  EXPECT_EQ(sum(20, 22), 42);
  publish(daemon, 2, {{"m", "2"}});
  ASSERT_TRUE(client.wait_for_epoch(2, seconds(10)));
  EXPECT_EQ(number(), 2);
  EXPECT_EQ(client.epoch(), 2U);
  EXPECT_TRUE(await([&] { return count(Kind::kApplied) == 2; }));
  EXPECT_EQ(count(Kind::kJoined), 1U);
}

TEST_F(Clients, EveryCallIsARunAndTheGoodbyeTellsTheLast) {
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"m", "1"}, {"n", "1"}, {"watched", "1"}});
  using Told = std::map<std::string, std::uint64_t>;
  bool left = false;
  const auto told = [&] {
    Told runs;
    daemon.with([&](ScriptDaemon& script) {
      for (const Request& request : script.requests) {
        const auto* alive = std::get_if<AliveRequest>(&request.body);
        const auto* leave = std::get_if<LeaveRequest>(&request.body);
        if (alive == nullptr && leave == nullptr) continue;
        for (const RunReport& run : alive != nullptr ? alive->runs : leave->runs) runs[run.module] = run.runs;
        left = left || leave != nullptr;
      }
    });
    return runs;
  };
  {
    Client client = connect(endpoint);
    ASSERT_TRUE(client.wait_for("m", seconds(10)));
    std::atomic<bool> changed{false};
    const auto watch = client.on_change("watched", [&](const Pin& pin) {
      EXPECT_TRUE(pin.bytes("watched"));
      changed = true;
    });
    EXPECT_TRUE(await([&] { return changed.load() && told() == Told{{"watched", 1}}; }));
    auto number = client.function<long()>("m", "number");
    for (int i = 0; i < 5; ++i) EXPECT_EQ(number(), 1);
    {
      const Pin pin = client.pin();
      const auto held = pin.function<long()>("n", "number");
      ASSERT_TRUE(held);
      for (int i = 0; i < 5; ++i) EXPECT_EQ((*held)(), 1);
    }
    EXPECT_THROW((void)client.function<long()>("m", "nonsense")(), ModuleMissing);
  }
  EXPECT_TRUE(await([&] {
    (void)told();
    return left;
  }));
  EXPECT_EQ(told(), (Told{{"m", 5}, {"n", 1}, {"watched", 1}}));
}

TEST_F(Clients, APinInLeaseIsHadWithADaemonOnly) {
  Client client = connect(endpoint);
  const auto none = client.pin_in_lease(milliseconds(20));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kTimeout);
  EXPECT_NE(none.error().message.find("Waited 20 ms to be in step with the fleet."), std::string::npos);
  {
    ZmqDaemon daemon(endpoint);
    publish(daemon, 1, {{"m", "1"}});
    const auto pin = client.pin_in_lease(seconds(20));
    ASSERT_TRUE(pin) << pin.error().message;
    EXPECT_EQ(pin->epoch(), 1U);
  }
  // The last good epoch goes on, but for work that must not begin on it.
  EXPECT_TRUE(await([&] { return !client.pin_in_lease(milliseconds(0)); }));
  EXPECT_EQ(client.pin().epoch(), 1U);
}

TEST_F(Clients, APinStaysWithItsEpoch) {
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"m", "1"}});
  Client client = connect(endpoint);
  ASSERT_TRUE(client.wait_for("m", seconds(10)));
  {
    const Pin pin = client.pin();
    auto number = pin.function<long()>("m", "number");
    ASSERT_TRUE(number);
    publish(daemon, 2, {{"m", "2"}});
    ASSERT_TRUE(client.wait_for_epoch(2, seconds(10)));
    EXPECT_EQ(pin.epoch(), 1U);
    EXPECT_EQ((*number)(), 1);
    EXPECT_TRUE(await([&] {
      return daemon.ask<bool>([](ScriptDaemon& s) {
        return !s.alives.empty() && !s.alives.back().pins.empty() && s.alives.back().pins[0].epoch == 1;
      });
    }));
  }
  EXPECT_TRUE(await([&] {
    return daemon.ask<bool>([](ScriptDaemon& s) {
      return !s.acks.empty() && s.acks.back().phase == AckPhase::kDrained && s.acks.back().epoch == 1;
    });
  }));
}

TEST_F(Clients, AFunctionOutlivesTheMoveAndTheEndOfItsClient) {
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"m", "1"}});
  std::optional<Function<long()>> number;
  {
    Client client = connect(endpoint);
    ASSERT_TRUE(client.wait_for("m", seconds(10)));
    number = client.function<long()>("m", "number");
    Client moved = std::move(client);
    EXPECT_EQ((*number)(), 1);
    publish(daemon, 2, {{"m", "2"}});
    ASSERT_TRUE(moved.wait_for_epoch(2, seconds(10)));
    EXPECT_EQ((*number)(), 2);
  }
  EXPECT_EQ((*number)(), 2);
}

TEST_F(Clients, WhatIsNotThereIsToldByName) {
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"m", "1"}});
  Client client = connect(endpoint);
  ASSERT_TRUE(client.wait_for("m", seconds(10)));
  try {
    client.function<long()>("m", "nonsense")();
    FAIL() << "no exception";
  } catch (const ModuleMissing& missing) {
    EXPECT_NE(std::string(missing.what()).find("nonsense"), std::string::npos);
  }
  EXPECT_THROW(client.function<long()>("other", "number")(), ModuleMissing);
  const Status waited = client.wait_for("other", milliseconds(20));
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(waited.error().message, "Waited 20 ms for module 'other'. The daemon at " + endpoint +
                                        " has no module 'other'. It has m.");
}

TEST_F(Clients, WaitingWithoutADaemonSaysSo) {
  Client client = connect(endpoint);
  const Status waited = client.wait_for("m", milliseconds(20));
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().message, "Waited 20 ms for module 'm'. No daemon answers at " + endpoint +
                                        ". Is `moddev watch DIR` running?");
  EXPECT_FALSE(client.connected());
  EXPECT_EQ(client.epoch(), 0U);
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"m", "1"}});
  EXPECT_TRUE(client.wait_for("m", seconds(10)));
}

TEST_F(Clients, WhatCannotBeLoadedIsToldToWhoeverWaits) {
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"m", "1"}});
  Client client = connect(endpoint);
  ASSERT_TRUE(client.wait_for("m", seconds(10)));
  daemon.with([&](ScriptDaemon& s) { s.announce(s.make_manifest(2, {{"m", "1"}, {"n", "bad"}})); });
  ASSERT_TRUE(await([&] { return count(Kind::kFailed) == 1; }));
  const Status waited = client.wait_for("n", milliseconds(20));
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().message,
            "Waited 20 ms for module 'n'. Module 'n' cannot be loaded here: undefined symbol: foo");
  EXPECT_FALSE(client.wait_for_epoch(2, milliseconds(20)));
}

TEST_F(Clients, ADaemonThatComesBackIsJoinedWithoutAReload) {
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"m", "1"}});
  Client client = connect(endpoint);
  ASSERT_TRUE(client.wait_for("m", seconds(10)));
  daemon.stop();
  daemon.with([](ScriptDaemon& s) { s.restart(); });
  daemon.start();
  EXPECT_TRUE(await([&] { return daemon.ask<bool>([](ScriptDaemon& s) { return s.joins.size() == 2; }); }));
  EXPECT_EQ(daemon.ask<Epoch>([](ScriptDaemon& s) { return s.joins.back().epoch; }), 1U);
  publish(daemon, 2, {{"m", "2"}});
  ASSERT_TRUE(client.wait_for_epoch(2, seconds(10)));
  EXPECT_EQ(client.function<long()>("m", "number")(), 2);
  EXPECT_TRUE(await([&] { return count(Kind::kApplied) >= 2; }));
  EXPECT_EQ(count(Kind::kApplied), 2U);
}

TEST_F(Clients, WhatRunsIsWrittenDownWhileThereIsADaemon) {
  const auto written = [this] {
    const std::lock_guard lock(mutex);
    std::vector<Epoch> epochs;
    for (const client::Remembered& one : written_down) epochs.push_back(one.manifest.epoch);
    return epochs;
  };
  using Epochs = std::vector<Epoch>;
  auto daemon = std::make_unique<ZmqDaemon>(endpoint);
  publish(*daemon, 1, {{"m", "1"}});
  {
    Client client = connect(endpoint);
    ASSERT_TRUE(client.wait_for("m", seconds(10)));
    ASSERT_TRUE(await([&] { return written() == Epochs{1}; }));
    publish(*daemon, 2, {{"m", "2"}});
    ASSERT_TRUE(await([&] { return written() == Epochs{1, 2}; }));
  }
  // Once more at the end: until then the daemon was heard.
  EXPECT_EQ(written(), (Epochs{1, 2, 2}));
  EXPECT_EQ(written_down.back().repo, daemon->ask<Uuid>([](ScriptDaemon& s) { return s.id.repo; }));
  daemon.reset();
  last_time = written_down.back();
  Client client = connect(endpoint);
  // The cache of this client is empty, so it waits; and what it did not hear from a daemon it does not write.
  EXPECT_FALSE(client.wait_for("m", client::limits::kOfflineAfter + milliseconds(50)));
  EXPECT_EQ(written(), (Epochs{1, 2, 2}));
}

TEST_F(Clients, WhoWatchesAModuleIsToldWhatItIsNowAndEachChange) {
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"data", "one"}, {"other", "x"}});
  Client client = connect(endpoint);
  ASSERT_TRUE(client.wait_for("data", seconds(10)));
  std::vector<std::string> told;
  const auto sees = [&](const std::vector<std::string>& expected) {
    return await([&] {
      const std::lock_guard lock(mutex);
      return told == expected;
    });
  };
  Subscription watch = client.on_change("data", [&](const Pin& pin) {
    const auto bytes = pin.bytes("data");
    const std::lock_guard lock(mutex);
    told.emplace_back(bytes ? as_text(*bytes) : "gone");
  });
  EXPECT_TRUE(sees({"one"}));
  publish(daemon, 2, {{"data", "two"}, {"other", "x"}});
  EXPECT_TRUE(sees({"one", "two"}));
  publish(daemon, 3, {{"data", "two"}, {"other", "y"}});
  ASSERT_TRUE(client.wait_for_epoch(3, seconds(10)));
  publish(daemon, 4, {{"other", "y"}});
  EXPECT_TRUE(sees({"one", "two", "gone"}));
  watch = {};
  publish(daemon, 5, {{"data", "three"}, {"other", "y"}});
  ASSERT_TRUE(client.wait_for_epoch(5, seconds(10)));
  Subscription later = client.on_change("other", [&](const Pin&) {
    const std::lock_guard lock(mutex);
    told.emplace_back("later");
  });
  EXPECT_TRUE(sees({"one", "two", "gone", "later"}));
}

TEST_F(Clients, ASubscriptionMayEndInItsOwnCallbackAndAfterTheClient) {
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"data", "one"}});
  auto client = std::make_unique<Client>(connect(endpoint));
  ASSERT_TRUE(client->wait_for("data", seconds(10)));
  std::atomic<unsigned> calls = 0;
  std::optional<Subscription> once;
  {
    const std::lock_guard lock(mutex);
    once = client->on_change("data", [&](const Pin&) {
      const std::lock_guard inside(mutex);
      once.reset();
      ++calls;
    });
  }
  EXPECT_TRUE(await([&] { return calls == 1; }));
  const Subscription left_over = client->on_change("data", [&](const Pin&) { ++calls; });
  EXPECT_TRUE(await([&] { return calls == 2; }));
  client.reset();
}

TEST_F(Clients, SaysGoodbye) {
  ZmqDaemon daemon(endpoint);
  {
    Client client = connect(endpoint);
    ASSERT_TRUE(await([&] { return client.connected(); }));
  }
  EXPECT_EQ(daemon.ask<unsigned>([](ScriptDaemon& s) { return s.leaves; }), 1U);
}

TEST_F(Clients, ASocketInADirectoryOfOthersIsToldToWhoeverWaits) {
  std::filesystem::permissions(directory.path(), std::filesystem::perms::all);
  Client client = connect(endpoint);
  ASSERT_TRUE(await([&] {
    const Status waited = client.wait_for("m", milliseconds(1));
    return !waited && waited.error().message.find(directory.path()) != std::string::npos &&
           waited.error().message.find("No daemon") == std::string::npos;
  }));
}

TEST_F(Clients, ManyThreadsCallWhileVersionsChange) {
  ZmqDaemon daemon(endpoint);
  publish(daemon, 1, {{"m", "1"}});
  Client client = connect(endpoint);
  ASSERT_TRUE(client.wait_for("m", seconds(10)));
  auto number = client.function<long()>("m", "number");
  std::atomic<bool> stop = false;
  std::atomic<unsigned> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        const std::uint64_t before = client.epoch();
        const Pin pin = client.pin();
        const long expected = pin.epoch() % 2 == 1 ? 1 : 2;
        if ((*pin.function<long()>("m", "number"))() != expected || pin.epoch() < before) ++wrong;
        const long answer = number();
        if (answer != 1 && answer != 2) ++wrong;
        std::this_thread::yield();
      }
    });
  }
  for (Epoch epoch = 2; epoch <= 40; ++epoch) {
    publish(daemon, epoch, {{"m", epoch % 2 == 1 ? "1" : "2"}});
    EXPECT_TRUE(client.wait_for_epoch(epoch, seconds(10)));
    EXPECT_EQ(number(), epoch % 2 == 1 ? 1 : 2);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace moddev::test
