// What a session tells its daemon again and again, and what the answers are worth.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "tests/unit/session/session_world.h"

namespace moddev::test {
namespace {

using Notes = SessionWorld;

// ----------------------------------------------------------------------------- what a person should know

TEST_F(Notes, WhatTheLoaderHasToSayIsSaidInEveryAliveUpToTheLimit) {
  join_at_epoch_one();
  run_with_heartbeats(seconds(2));
  ASSERT_FALSE(daemon.alives.empty());
  EXPECT_TRUE(daemon.alives.back().notes.empty());
  loader.told.assign(client_limits::kNotesPerExecutor + 1, "a stop hook has not returned");
  run_with_heartbeats(seconds(2));
  EXPECT_EQ(daemon.alives.back().notes.size(), client_limits::kNotesPerExecutor);
  EXPECT_EQ(daemon.alives.back().notes.front(), "a stop hook has not returned");
}

TEST_F(Notes, TooMuchMemoryOfRetiredVersionsBringsAnAdvice) {
  loader.module_stays = client_limits::kRetiredAdvice;
  join_at_epoch_one();
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  run_with_heartbeats(seconds(2));
  EXPECT_EQ(daemon.alives.back().retired_bytes, client_limits::kRetiredAdvice);
  EXPECT_TRUE(daemon.alives.back().notes.empty());
  daemon.publish(daemon.make_manifest(3, {{"a", "a3"}}));
  run_with_heartbeats(seconds(2));
  ASSERT_EQ(daemon.alives.back().notes.size(), 1U);
  EXPECT_NE(daemon.alives.back().notes[0].find("More than 256 MiB are held by former versions"),
            std::string::npos);
}

// ------------------------------------------------------------------------------------------- within the
// lease

using Lease = SessionWorld;

TEST_F(Lease, CountsFromWhenTheAnsweredAliveWasSent) {
  EXPECT_LE(session().in_lease_until(), now);
  join_at_epoch_one();
  run_with_heartbeats(seconds(2));
  ASSERT_FALSE(daemon.alives.empty());
  EXPECT_GT(session().in_lease_until(), now);
  EXPECT_LE(session().in_lease_until(), now + limits::kLease);
}

TEST_F(Lease, TimeInWhichTheProcessWasStoppedDoesNotExtendIt) {
  join_at_epoch_one();
  run_with_heartbeats(seconds(2));
  const TimePoint until = session().in_lease_until();
  // Stopped, and woken by nothing but its deadline: what waits to be read was said before.
  daemon.instead = [](const RequestBody&) -> std::optional<std::optional<ReplyBody>> {
    return std::optional<ReplyBody>();
  };
  now += 3 * limits::kLease;
  step();
  EXPECT_LE(session().in_lease_until(), until);
  EXPECT_LT(session().in_lease_until(), now);
  daemon.instead = nullptr;
  run_with_heartbeats(seconds(2));
  EXPECT_GT(session().in_lease_until(), now);
}

TEST_F(Lease, EndsWhenSomethingNewerIsCommittedUntilItIsLive) {
  join_at_epoch_one();
  run_with_heartbeats(seconds(2));
  loader.immediate = false;
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  ASSERT_EQ(session().status().committed, 2U);
  EXPECT_LE(session().in_lease_until(), now);
  loader.finish();
  run_with_heartbeats(seconds(1));
  ASSERT_EQ(session().applied_epoch(), 2U);
  EXPECT_GT(session().in_lease_until(), now);
}

TEST_F(Lease, IsNoneForWhoWasExcluded) {
  join_at_epoch_one();
  run_with_heartbeats(seconds(2));
  daemon.instead = [this](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    if (!std::holds_alternative<AliveRequest>(request)) return std::nullopt;
    return AliveReply{daemon.id, false, daemon.head, daemon.committed.epoch};
  };
  run(limits::kHeartbeatInterval * 2);
  EXPECT_LE(session().in_lease_until(), now);
}

}  // namespace
}  // namespace moddev::test
