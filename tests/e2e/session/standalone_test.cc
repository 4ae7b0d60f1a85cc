// An executor that watches its build directory itself: the real watcher, daemon core and loader in one
// process, on libraries that the real compiler makes.
#include <gtest/gtest.h>
#include <moddev/standalone.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "protocol/private_file.h"
#include "protocol/signing_key.h"
#include "protocol/trust.h"
#include "tests/support/session/watch_process.h"

namespace moddev::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string scorer(int factor) {
  return "long score(long x) { return " + std::to_string(factor) + " * x; }";
}

class Standalone : public ::testing::Test {
 protected:
  StandaloneOptions options() {
    StandaloneOptions options;
    options.client.name = "alone";
    options.client.cache_directory = here.home() + "/cache";
    options.client.endpoint = here.endpoint();
    options.client.on_event = [this](const ClientEvent& event) {
      const std::lock_guard lock(mutex);
      events.push_back(event);
    };
    options.on_problem = [this](const std::string& message) {
      const std::lock_guard lock(mutex);
      problems.push_back(message);
    };
    return options;
  }
  bool told(const std::string& part) {
    return await([&] {
      const std::lock_guard lock(mutex);
      return std::any_of(problems.begin(), problems.end(),
                         [&](const std::string& message) { return message.find(part) != std::string::npos; });
    });
  }

  Surroundings here;
  std::mutex mutex;
  std::vector<ClientEvent> events;
  std::vector<std::string> problems;
};

/// With this process's user having a signing key of his own.
class StandaloneSigned : public Standalone {
 protected:
  StandaloneSigned() {
    const std::string directory = here.home() + "/config/moddev";
    std::filesystem::create_directories(directory);
    EXPECT_TRUE(write_private_file(signing_secret_file(directory), signing_secret_text(key), Secrecy::kSecret,
                                   Existing::kKeep));
    ::setenv("XDG_CONFIG_HOME", (here.home() + "/config").c_str(), 1);
  }
  ~StandaloneSigned() override { ::unsetenv("XDG_CONFIG_HOME"); }
  bool happened(ClientEvent::Kind kind, const std::string& part) {
    return await([&] {
      const std::lock_guard lock(mutex);
      return std::any_of(events.begin(), events.end(), [&](const ClientEvent& event) {
        return event.kind == kind && event.message.find(part) != std::string::npos;
      });
    });
  }

  SigningKey key = SigningKey::generate();
};

TEST_F(StandaloneSigned, RunsWhatItsUserSignsForWhoBelievesHim) {
  here.publish_library("scorer", scorer(2));
  auto chosen = options();
  chosen.client.signers = {key.public_key().to_string()};
  auto client = watch_in_process(here.watched(), std::move(chosen));
  ASSERT_TRUE(client) << client.error().message;
  ASSERT_TRUE(client->wait_for("scorer", seconds(30)));
  EXPECT_EQ(client->function<long(long)>("scorer", "score")(21), 42);
  // Read before: the next epoch may be live as soon as the library is there.
  const std::uint64_t first = client->epoch();
  here.publish_library("scorer", scorer(3));
  ASSERT_TRUE(client->wait_for_epoch(first + 1, seconds(30)));
  EXPECT_EQ(client->function<long(long)>("scorer", "score")(21), 63);
}

TEST_F(StandaloneSigned, RunsNothingForWhoBelievesOnlySomebodyElse) {
  here.publish_library("scorer", scorer(2));
  auto chosen = options();
  chosen.client.signers = {SigningKey::generate().public_key().to_string()};
  const auto client = watch_in_process(here.watched(), std::move(chosen));
  ASSERT_TRUE(client) << client.error().message;
  EXPECT_TRUE(happened(ClientEvent::Kind::kStale,
                       "is not believed. It is signed by " + key.public_key().to_string()));
  EXPECT_EQ(client->epoch(), 0U);
}

TEST_F(StandaloneSigned, KeepsOutWhatIsNotAmongItsModules) {
  here.publish_library("scorer", scorer(2));
  auto chosen = options();
  chosen.client.modules = {"other"};
  const auto client = watch_in_process(here.watched(), std::move(chosen));
  ASSERT_TRUE(client) << client.error().message;
  EXPECT_TRUE(happened(ClientEvent::Kind::kFailed, "its `modules` are other"));
  EXPECT_EQ(client->epoch(), 0U);
}

TEST_F(Standalone, FollowsTheDirectoryWithoutADaemon) {
  here.publish_library("scorer", scorer(2));
  auto client = watch_in_process(here.watched(), options());
  ASSERT_TRUE(client) << client.error().message;
  ASSERT_TRUE(client->wait_for("scorer", seconds(30)));
  const auto score = client->function<long(long)>("scorer", "score");
  EXPECT_EQ(score(21), 42);
  const Pin old = client->pin();
  here.publish_library("scorer", scorer(3));
  EXPECT_TRUE(await([&] { return score(21) == 63; }, seconds(30)));
  // The pin holds its epoch, and its code.
  EXPECT_EQ((*old.function<long(long)>("scorer", "score"))(21), 42);
  EXPECT_EQ(client->epoch(), old.epoch() + 1);
  EXPECT_TRUE(client->connected());
}

TEST_F(Standalone, ABrokenLibraryIsToldAndTheLastGoodOneGoesOn) {
  here.publish_library("scorer", scorer(2));
  auto client = watch_in_process(here.watched(), options());
  ASSERT_TRUE(client) << client.error().message;
  ASSERT_TRUE(client->wait_for("scorer", seconds(30)));
  const auto score = client->function<long(long)>("scorer", "score");
  here.publish_library("scorer", "long absent(long); long score(long x) { return absent(x); }");
  EXPECT_TRUE(await(
      [&] {
        const std::lock_guard lock(mutex);
        return std::any_of(events.begin(), events.end(), [](const ClientEvent& event) {
          return event.kind == ClientEvent::Kind::kFailed && event.module == "scorer" &&
                 event.message.find("absent") != std::string::npos;
        });
      },
      seconds(30)));
  EXPECT_EQ(score(21), 42);
  here.publish_library("scorer", scorer(4));
  EXPECT_TRUE(await([&] { return score(21) == 84; }, seconds(30)));
}

TEST_F(Standalone, WhatIsNotTakenIsTold) {
  here.publish("libscorer.so", "this is no library");
  auto client = watch_in_process(here.watched(), options());
  ASSERT_TRUE(client) << client.error().message;
  EXPECT_TRUE(told("libscorer.so"));
}

TEST_F(Standalone, AMissingDirectoryIsAnError) {
  const auto client = watch_in_process(here.watched() + "/absent", options());
  ASSERT_FALSE(client);
  EXPECT_NE(client.error().message.find("absent"), std::string::npos);
}

TEST_F(Standalone, ItsOwnCacheInsideTheDirectoryIsNoModule) {
  here.publish_library("scorer", scorer(2));
  StandaloneOptions inside = options();
  inside.client.cache_directory = here.watched() + "/cache";
  auto client = watch_in_process(here.watched(), inside);
  ASSERT_TRUE(client) << client.error().message;
  ASSERT_TRUE(client->wait_for("scorer", seconds(30)));
  here.publish_library("scorer", scorer(3));
  ASSERT_TRUE(client->wait_for_epoch(2, seconds(30)));
  EXPECT_EQ(client->pin().modules().size(), 1U);
}

TEST_F(Standalone, ADaemonThatIsThereGoesBeforeIt) {
  here.publish_library("scorer", scorer(2));
  {
    const WatchProcess daemon(MODDEV_PROGRAM, here);
    // Nothing is there to watch, so what comes can only be the daemon's.
    auto client = connect_or_watch(here.watched() + "/absent", options());
    ASSERT_TRUE(client) << client.error().message;
    EXPECT_TRUE(client->wait_for("scorer", seconds(30)));
  }
  auto client = connect_or_watch(here.watched(), options());
  ASSERT_TRUE(client) << client.error().message;
  EXPECT_TRUE(client->wait_for("scorer", seconds(30)));
  here.publish_library("scorer", scorer(5));
  const auto score = client->function<long(long)>("scorer", "score");
  EXPECT_TRUE(await([&] { return score(1) == 5; }, seconds(30)));
}

}  // namespace
}  // namespace moddev::test
