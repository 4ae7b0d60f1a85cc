// Who may do what: rules, defaults, and answers that do not tell what is hidden.
#include "daemon/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "protocol/codec.h"
#include "protocol/limits.h"

namespace moddev::daemon {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Caller kUser{};
Caller key(const std::string& name) {
  return {Caller::Kind::kKey, name, "key of " + name, "10.0.0.2"};
}

ModuleRequest named(const std::string& module) {
  ModuleRequest request;
  request.name = module;
  return request;
}

BlobRequest bytes_of(const std::string& module) {
  BlobRequest request;
  request.digest = digest_of(module);
  return request;
}

HistoryRequest history(const std::string& module) {
  HistoryRequest request;
  request.module = module;
  return request;
}

RollbackRequest rollback(const std::string& module) {
  RollbackRequest request;
  request.module = module;
  return request;
}

ModuleEntry module(const std::string& name) {
  ModuleEntry entry;
  entry.name = name;
  entry.version = 1;
  entry.digest = digest_of(name);
  entry.path = name;
  return entry;
}

Manifest two_modules() {
  Manifest manifest;
  manifest.epoch = 3;
  for (const char* name : {"ui/menu", "secret"}) manifest.modules[name] = module(name);
  return manifest;
}

/// A key that may see and run what is below ui/ only.
AccessRules only_ui() {
  return AccessRules(
      {{{"laptop"}, {Right::kStatus, Right::kFetch, Right::kRun, Right::kRollback}, {"ui/*"}}});
}

std::string refusal(const AccessRules& rules, const Caller& caller, const RequestBody& request) {
  const auto refused = forbidden(rules, caller, request, two_modules(), std::nullopt);
  return refused ? refused->message : "";
}

TEST(Patterns, AStarStandsForAnything) {
  EXPECT_TRUE(fits("*", ""));
  EXPECT_TRUE(fits("*", "anything"));
  EXPECT_TRUE(fits("ci-*", "ci-4"));
  EXPECT_TRUE(fits("*-*-x", "a-b-c-x"));
  EXPECT_TRUE(fits("ui/*", "ui/menu"));
  EXPECT_FALSE(fits("ui/*", "ui"));
  EXPECT_FALSE(fits("ui", "uii"));
  EXPECT_FALSE(fits("", "a"));
  EXPECT_FALSE(fits("*b", "abc"));
  EXPECT_FALSE(fits(std::string(200, '*') + "x", std::string(20'000, 'a'))) << "and is quick about it";
}

TEST(Access, WithoutRulesTheUserMayAllAndAKeyMayNotChangeAnything) {
  const AccessRules rules;
  for (const Right right : kRights) EXPECT_TRUE(rules.may_all(kUser, right)) << to_string(right);
  for (const Right right : {Right::kStatus, Right::kFetch, Right::kRun})
    EXPECT_TRUE(rules.may(key("laptop"), right, "scorer")) << to_string(right);
  EXPECT_THAT(refusal(rules, key("laptop"), RollbackRequest{}), HasSubstr("'laptop' may not rollback"));
  EXPECT_THAT(refusal(rules, key("laptop"), RefreshRequest{}), HasSubstr("[[access]]"));
  EXPECT_THAT(refusal(rules, key("laptop"), BuildRequest{}), HasSubstr("may not publish"));
  EXPECT_EQ(refusal(rules, kUser, RollbackRequest{}), "");
}

TEST(Access, EachRightIsNeededForWhatItIsNamedAfter) {
  const std::vector<std::pair<Right, std::vector<RequestBody>>> wants = {
      {Right::kStatus, {StatusRequest{}, HistoryRequest{}, RunsRequest{}}},
      {Right::kRun, {JoinRequest{}, AliveRequest{}, AckRequest{}, LeaveRequest{}}},
      {Right::kFetch, {named("secret"), BlobRequest{}}},
      {Right::kPublish, {RefreshRequest{}, BuildRequest{}}},
      {Right::kRollback, {RollbackRequest{}, rollback("secret")}}};
  for (const auto& [right, requests] : wants) {
    const AccessRules with({{{"laptop"}, {right}, {"*"}}});
    std::vector<Right> others;
    for (const Right other : kRights)
      if (other != right && !(right == Right::kFetch && other == Right::kRun)) others.push_back(other);
    const AccessRules without({{{"laptop"}, others, {"*"}}});
    for (const RequestBody& request : requests) {
      EXPECT_NE(refusal(without, key("laptop"), request), "") << to_string(right) << request.index();
      if (right != Right::kRollback) {
        EXPECT_EQ(refusal(with, key("laptop"), request), "") << to_string(right);
      }
    }
  }
}

TEST(Access, RulesSpeakOfTheUserByNameOnly) {
  const AccessRules rules({{{"*"}, {Right::kStatus}, {"*"}}, {{"user"}, {Right::kFetch}, {"*"}}});
  EXPECT_TRUE(rules.may(key("any"), Right::kStatus));
  EXPECT_FALSE(rules.may(kUser, Right::kStatus)) << "a star is no user";
  EXPECT_TRUE(rules.may(kUser, Right::kFetch));
  EXPECT_FALSE(rules.may(key("user"), Right::kFetch)) << "and a key of that name is no user";
}

TEST(Access, AForbiddenModuleIsAsUnknown) {
  const AccessRules rules = only_ui();
  const Caller laptop = key("laptop");
  EXPECT_EQ(refusal(rules, laptop, named("ui/menu")), "");
  std::string forbidden_text = refusal(rules, laptop, named("secret"));
  std::string unknown_text = refusal(rules, laptop, named("nothin"));
  ASSERT_NE(forbidden_text, "");
  forbidden_text.replace(forbidden_text.find("secret"), 6, "nothin");
  EXPECT_EQ(forbidden_text, unknown_text);
  EXPECT_EQ(refusal(rules, laptop, bytes_of("ui/menu")), "");
  const auto blob = forbidden(rules, laptop, bytes_of("secret"), two_modules(), std::nullopt);
  const auto none = forbidden(rules, laptop, bytes_of("nothing"), two_modules(), std::nullopt);
  ASSERT_TRUE(blob && none);
  EXPECT_EQ(blob->code, none->code);
  EXPECT_NE(refusal(rules, laptop, history("secret")), "");
  EXPECT_NE(refusal(rules, laptop, rollback("secret")), "");
  EXPECT_NE(refusal(rules, laptop, RollbackRequest{}), "") << "all modules";
  EXPECT_EQ(refusal(rules, laptop, rollback("ui/menu")), "");
}

// What a module needs, and why it cannot be used, can name one that is hidden.
TEST(Access, WhatIsShownDoesNotNameWhatIsHidden) {
  const AccessRules rules = only_ui();
  const auto text_of = [&](ReplyBody body) {
    conceal(rules, key("laptop"), body);
    const Frames frames = encode(Reply{1, std::move(body)});
    std::string text;
    for (const SharedBytes& frame : frames)
      text.append(reinterpret_cast<const char*>(frame->data()), frame->size());
    return text;
  };
  ModuleEntry menu = module("ui/menu");
  menu.depends_on = {"secret"};
  Manifest manifest = two_modules();
  manifest.modules["ui/menu"] = menu;
  const std::vector<ModuleChange> changes = {{ChangeKind::kChanged, menu}};

  SnapshotReply snapshot;
  snapshot.committed = manifest;
  snapshot.pending.emplace();
  snapshot.pending->epoch = 4;
  snapshot.pending->changes = changes;
  ManifestReply retained;
  retained.manifest = manifest;
  ModuleReply fetched;
  fetched.module = menu;
  StatusReply status;
  status.modules = {menu, module("secret")};
  status.executors.emplace_back();
  status.executors[0].detail = "cannot use epoch 3: secret: undefined symbol";
  HistoryReply past;
  past.entries.emplace_back();
  past.entries[0].changes = changes;
  past.entries[0].changes_total = 1;
  past.entries[0].failures = {{"far", "ui/menu", "libsecret.so: cannot open shared object file"}};
  RollbackReply back;
  back.changes = changes;
  RefreshReply refreshed;
  refreshed.unpublished = {{"secret", "torn"}, {"ui/menu", "both ui/menu and libsecret.so are this module"}};
  refreshed.unpublished_files = 2;
  BuildReply built;
  built.unpublished = refreshed.unpublished;
  const ErrorReply refused{ErrorCode::kRefused, "far: secret: undefined symbol", 0};
  for (const ReplyBody& body :
       std::vector<ReplyBody>{snapshot, retained, fetched, status, past, back, refreshed, built, refused}) {
    const std::string text = text_of(body);
    EXPECT_EQ(text.find("secret"), std::string::npos) << "reply " << body.index() << ": " << text;
    const bool names_menu = !std::holds_alternative<ErrorReply>(body);
    EXPECT_EQ(text.find("ui/menu") != std::string::npos, names_menu) << "reply " << body.index();
  }
}

TEST(Access, AnswersLeaveOutWhatMayNotBeKnown) {
  const AccessRules rules = only_ui();
  SnapshotReply snapshot;
  snapshot.committed = two_modules();
  snapshot.pending.emplace();
  snapshot.pending->epoch = 4;
  for (const char* name : {"secret", "ui/menu"}) {
    ModuleEntry changed = module(name);
    changed.version = 2;
    snapshot.pending->changes.push_back({ChangeKind::kChanged, changed});
  }
  ReplyBody reply = snapshot;
  conceal(rules, key("laptop"), reply);
  const auto& shown = std::get<SnapshotReply>(reply);
  EXPECT_EQ(shown.committed.modules.size(), 1U);
  ASSERT_EQ(shown.pending->changes.size(), 1U);
  Manifest next = shown.committed;
  next.epoch = 4;
  next.modules["ui/menu"] = shown.pending->changes[0].module;
  EXPECT_EQ(shown.pending->manifest_digest, next.digest()) << "an executor can check what it is shown";

  StatusReply status;
  status.modules = {module("secret"), module("ui/menu")};
  status.holds = {{"secret", 1, "secret"}};
  reply = status;
  conceal(rules, key("laptop"), reply);
  ASSERT_EQ(std::get<StatusReply>(reply).modules.size(), 1U);
  EXPECT_TRUE(std::get<StatusReply>(reply).holds.empty());

  HistoryReply past;
  past.entries.emplace_back();
  past.entries[0].cause = "rollback of secret to version 1";
  past.entries[0].changes = {{ChangeKind::kChanged, module("secret")}};
  past.entries[0].changes_total = 1;
  past.entries[0].failures = {{"far", "secret", "why"}};
  reply = past;
  conceal(rules, key("laptop"), reply);
  EXPECT_EQ(std::get<HistoryReply>(reply).entries[0].cause, "change");
  EXPECT_TRUE(std::get<HistoryReply>(reply).entries[0].changes.empty());
  EXPECT_TRUE(std::get<HistoryReply>(reply).entries[0].failures.empty());

  RunsReply runs;
  runs.runs = {{{}, {"secret", 1, 5, 1, 1, 1}}, {{}, {"ui/menu", 1, 6, 1, 1, 1}}};
  reply = runs;
  conceal(rules, key("laptop"), reply);
  ASSERT_EQ(std::get<RunsReply>(reply).runs.size(), 1U);
  EXPECT_EQ(std::get<RunsReply>(reply).runs[0].run.module, "ui/menu");
  EXPECT_EQ(refusal(rules, key("laptop"), RunsRequest{"ui/menu", 0}), "");
  EXPECT_EQ(refusal(rules, key("laptop"), RunsRequest{"secret", 0}),
            "There is no module 'secret' that you may read.");

  reply = snapshot;
  conceal(rules, kUser, reply);
  EXPECT_EQ(std::get<SnapshotReply>(reply).committed.modules.size(), 2U);
}

TEST(Access, RunsCountOfModulesThatTheCallerMayRun) {
  const std::vector<RunReport> told = {{"secret", 1, 5, 1, 1, 1}, {"ui/menu", 1, 6, 1, 1, 1}};
  for (RequestBody request :
       std::vector<RequestBody>{AliveRequest{{}, {}, 0, {}, 0, {}, told}, LeaveRequest{{}, told}}) {
    const auto left = [&](const Caller& caller) {
      RequestBody heard = request;
      disregard(only_ui(), caller, heard);
      const auto* alive = std::get_if<AliveRequest>(&heard);
      return alive != nullptr ? alive->runs : std::get<LeaveRequest>(heard).runs;
    };
    EXPECT_EQ(left(kUser), told);
    ASSERT_EQ(left(key("laptop")).size(), 1U);
    EXPECT_EQ(left(key("laptop"))[0].module, "ui/menu");
  }
}

AccessRule rule(std::vector<std::string> who, std::vector<std::string> modules = {"*"}) {
  return {std::move(who), {Right::kStatus}, std::move(modules), "/p/moddev.toml:7"};
}

TEST(Access, ARuleForNobodyWhoIsTrustedIsDoubted) {
  const auto doubts = [](std::vector<std::string> who, const std::vector<std::string>& trusted) {
    return AccessRules({rule(std::move(who))}).doubts(trusted);
  };
  EXPECT_THAT(doubts({"laptop", "ci-*", "user"}, {"laptop", "ci-3"}), IsEmpty());
  EXPECT_THAT(doubts({"*"}, {"laptop"}), IsEmpty());
  EXPECT_THAT(doubts({"laptpo", "user"}, {"laptop"}),
              ElementsAre(AllOf(HasSubstr("/p/moddev.toml:7"), HasSubstr("'laptpo'"),
                                HasSubstr("did you mean 'laptop'?"), HasSubstr("moddev trust list"))));
  EXPECT_THAT(doubts({"ci-*"}, {"laptop"}), ElementsAre(HasSubstr("'ci-*'")));
  EXPECT_THAT(doubts({"*"}, {}), ElementsAre(HasSubstr("'*'"))) << "the user is never meant";
  EXPECT_THAT(doubts({"use*"}, {"laptop"}), ElementsAre(HasSubstr("`user`")));
  EXPECT_THAT(doubts({"you"}, {"laptop"}), ElementsAre(HasSubstr("`user`")));
}

TEST(Access, APatternThatNoModuleCanFitIsDoubted) {
  const auto doubts = [](std::vector<std::string> modules) {
    return AccessRules({rule({"laptop"}, std::move(modules))}).doubts({"laptop"});
  };
  EXPECT_THAT(doubts({"*", "ui/*", "*/menu", "scorer", "a*b", ".*", "app/[id].js", "not_there_yet", "**"}),
              IsEmpty());
  for (const char* pattern : {"", "/ui/*", "ui/", "../*", "ui//menu", "./ui/*", "ui\\*", "a\n*"})
    EXPECT_THAT(doubts({"scorer", pattern}),
                ElementsAre(AllOf(HasSubstr("/p/moddev.toml:7"), HasSubstr("fits no module"))))
        << pattern;
  EXPECT_THAT(doubts({std::string(limits::kModuleNameBytes, 'a') + "*"}), IsEmpty());
  EXPECT_THAT(doubts({std::string(limits::kModuleNameBytes + 1, 'a') + "*"}),
              ElementsAre(HasSubstr("fits no module")));
}

}  // namespace
}  // namespace moddev::daemon
