// Who may speak for an executor, and how long that is kept.
#include "daemon/speakers.h"

#include <gtest/gtest.h>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

Caller key(const std::string& name, const std::string& text) {
  return {Caller::Kind::kKey, name, text, "10.0.0.2"};
}

JoinRequest join(const Uuid& id) {
  JoinRequest request;
  request.executor.id = id;
  return request;
}

class SpeakersTest : public ::testing::Test {
 protected:
  bool may(const Caller& caller, const RequestBody& request) {
    return !speakers.refusal(caller, request, [this](const Uuid&) { return members; });
  }

  Speakers speakers;
  bool members = true;
  const Uuid executor = Uuid::random();
  const Caller laptop = key("laptop", "k1");
};

TEST_F(SpeakersTest, WhoJoinedIsKnownByNameOrKey) {
  EXPECT_TRUE(may(laptop, LeaveRequest{executor, {}})) << "nobody has joined";
  EXPECT_TRUE(may(laptop, join(executor)));
  EXPECT_TRUE(may(key("laptop", "k2"), LeaveRequest{executor, {}})) << "the key was replaced";
  EXPECT_TRUE(may(key("desktop", "k1"), LeaveRequest{executor, {}})) << "the key got another name";
  EXPECT_FALSE(may(key("desktop", "k2"), LeaveRequest{executor, {}}));
  EXPECT_FALSE(may(key("desktop", "k2"), join(executor)));
  EXPECT_TRUE(may(Caller{}, LeaveRequest{executor, {}})) << "the daemon's user";
  EXPECT_TRUE(may(key("desktop", "k2"), StatusRequest{})) << "about no executor";
}

TEST_F(SpeakersTest, AKeyDoesNotSpeakForTheUsersOwn) {
  EXPECT_TRUE(may(Caller{}, join(executor)));
  EXPECT_FALSE(may(laptop, LeaveRequest{executor, {}}));
}

TEST_F(SpeakersTest, MembersAreNotForgottenForTheSakeOfOthers) {
  EXPECT_TRUE(may(laptop, join(executor)));
  for (std::size_t i = 0; i < limits::kSpeakers; ++i) EXPECT_TRUE(may(laptop, join(Uuid::random())));
  EXPECT_FALSE(may(key("desktop", "k2"), join(executor)));
}

TEST_F(SpeakersTest, WhoIsNoMemberIsForgottenAtTheLimit) {
  members = false;
  EXPECT_TRUE(may(laptop, join(executor)));
  for (std::size_t i = 1; i < limits::kSpeakers; ++i) EXPECT_TRUE(may(laptop, join(Uuid::random())));
  EXPECT_FALSE(may(key("desktop", "k2"), join(executor))) << "not before";
  EXPECT_TRUE(may(laptop, join(Uuid::random())));
  EXPECT_TRUE(may(key("desktop", "k2"), join(executor)));
}

}  // namespace
}  // namespace moddev::daemon
