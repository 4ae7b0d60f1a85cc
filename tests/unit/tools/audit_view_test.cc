#include "tools/moddev/audit_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <nlohmann/json.hpp>

namespace moddev::tools {
namespace {

using daemon::AuditAct;
using daemon::AuditEntry;
using ::testing::HasSubstr;

const WallTime kAt{Duration(1'764'073'867'123'456'789)};  // 2025-11-25T12:31:07.123Z

class AuditView : public ::testing::Test {
 protected:
  AuditView() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
  ~AuditView() override {
    ::unsetenv("TZ");
    ::tzset();
  }
  const AuditEntry applied{4, AuditAct::kApplied, "laptop", "10.0.0.2", "w1", "epoch 7", kAt, kAt, 1};
  const AuditEntry refused{
      5, AuditAct::kRefused, "10.0.0.9", "", "", "no\x1b[31m key", kAt - std::chrono::seconds(7), kAt, 12};
};

TEST_F(AuditView, OneLineEachWithItsCount) {
  EXPECT_EQ(audit_text({applied, refused}, Palette(false)),
            "25 Nov 2025 12:31:07  applied  laptop (10.0.0.2)  w1: epoch 7\n"
            "25 Nov 2025 12:31:07  refused  10.0.0.9           no?[31m key  (12 times since 12:31:00)\n");
}

TEST_F(AuditView, JsonHasStableKeys) {
  EXPECT_EQ(json_of(applied),
            R"({"at":"2025-11-25T12:31:07.123Z","first_at":"2025-11-25T12:31:07.123Z","act":"applied",)"
            R"("who":"laptop","address":"10.0.0.2","executor":"w1","what":"epoch 7","count":1})");
}

TEST_F(AuditView, SinceASpanOrADate) {
  EXPECT_EQ(*parse_since("90s", kAt), kAt - std::chrono::seconds(90));
  EXPECT_EQ(*parse_since("10m", kAt), kAt - std::chrono::minutes(10));
  EXPECT_EQ(*parse_since("7d", kAt), kAt - std::chrono::hours(168));
  EXPECT_EQ(utc_time(*parse_since("2025-11-25", kAt)), "2025-11-25T00:00:00.000Z");
  EXPECT_EQ(utc_time(*parse_since("2025-11-25T12:31", kAt)), "2025-11-25T12:31:00.000Z");
  EXPECT_EQ(utc_time(*parse_since("2025-11-25T12:31:07Z", kAt)), "2025-11-25T12:31:07.000Z");
  ::setenv("TZ", "UTC-2", 1);
  ::tzset();
  EXPECT_EQ(utc_time(*parse_since("2025-11-25T12:31", kAt)), "2025-11-25T10:31:00.000Z") << "of the user";
  EXPECT_GT(*parse_since("2999-01-01", kAt), kAt) << "later than a WallTime can say";
  for (const char* wrong : {"", "h", "10", "-5m", "5w", "99999999d", "yesterday", "2025-11-25 noon"}) {
    const auto parsed = parse_since(wrong, kAt);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_THAT(parsed.error().message, HasSubstr("10m"));
  }
}

TEST_F(AuditView, WhoIsTheOneThatWasProvenOrAnExecutor) {
  for (const char* who : {"", "laptop", "lap*", "w1", "*"}) EXPECT_TRUE(is_about(applied, who)) << who;
  for (const char* who : {"lap", "10.0.0.2", "w"}) EXPECT_FALSE(is_about(applied, who)) << who;
}

}  // namespace
}  // namespace moddev::tools
