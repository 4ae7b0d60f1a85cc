// What every ResultCache must do, in memory and in SQLite; and what only a shared file can show.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moddev/result_cache.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "client/results/explain.h"
#include "client/src/view_store.h"
#include "protocol/digest.h"
#include "protocol/manifest.h"

namespace moddev {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Reason = Miss::Reason;

/// Views of epochs without code: enough for keys.
class Epochs {
 public:
  using Contents = std::vector<std::pair<std::string, std::string>>;
  Pin pin(const Contents& contents, const std::map<std::string, std::vector<std::string>>& needs = {}) {
    Manifest manifest;
    manifest.epoch = ++epoch_;
    for (const auto& [name, content] : contents) {
      ModuleEntry& entry = manifest.modules[name];
      entry.name = name;
      entry.digest = digest_of(content);
      if (const auto found = needs.find(name); found != needs.end()) entry.depends_on = found->second;
    }
    newest = manifest;
    views_.publish(std::make_shared<const View>(std::move(manifest), View::Modules{}), TimePoint{});
    return views_.pin();
  }
  Manifest newest;

 private:
  ViewStore views_;
  Epoch epoch_ = 0;
};

std::vector<std::byte> bytes(std::string_view text) {
  const auto view = bytes_of(text);
  return {view.begin(), view.end()};
}

class ResultCacheContract : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "moddev-results-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    open({});
  }
  void TearDown() override {
    cache.reset();
    std::filesystem::remove_all(directory_);
  }
  void open(ResultCacheLimits limits) {
    cache.reset();
    if (!GetParam()) {
      cache = make_result_cache(limits);
      return;
    }
    auto opened = open_result_cache((directory_ / "results.db").string(), limits);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    cache = std::move(*opened);
  }
  ResultKey key(const Pin& pin, std::string_view arguments, std::string_view symbol = "score",
                std::string_view module = "scorer") {
    auto made = ResultKey::make(pin, module, symbol, bytes_of(arguments));
    EXPECT_TRUE(made.ok());
    return std::move(*made);
  }
  std::string find(const ResultKey& wanted) {
    const auto found = cache->find(wanted);
    EXPECT_TRUE(found.ok());
    if (!found.ok() || !*found) return "(none)";
    return {reinterpret_cast<const char*>((*found)->data()), (*found)->size()};
  }
  Miss why(const ResultKey& wanted) {
    const auto miss = cache->explain(wanted);
    EXPECT_TRUE(miss.ok());
    return miss.ok() ? *miss : Miss{};
  }

  std::filesystem::path directory_;
  Epochs epochs;
  std::unique_ptr<ResultCache> cache;
};

TEST_P(ResultCacheContract, FindsWhatWasStored) {
  const Pin pin = epochs.pin({{"scorer", "1"}});
  EXPECT_EQ(find(key(pin, "20")), "(none)");
  ASSERT_TRUE(cache->store(key(pin, "20"), bytes("42")).ok());
  EXPECT_EQ(find(key(pin, "20")), "42");
  EXPECT_EQ(find(key(pin, "21")), "(none)");
  EXPECT_EQ(find(key(pin, "20", "other")), "(none)");
  const auto stats = cache->stats();
  EXPECT_EQ(stats->hits, 1U);
  EXPECT_EQ(stats->misses, 3U);
  EXPECT_EQ(stats->entries, 1U);
  EXPECT_EQ(stats->bytes, 2U);
}

TEST_P(ResultCacheContract, EmptyResultIsAResult) {
  const Pin pin = epochs.pin({{"scorer", "1"}});
  ASSERT_TRUE(cache->store(key(pin, ""), {}).ok());
  const auto found = cache->find(key(pin, ""));
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_TRUE((*found)->empty());
}

TEST_P(ResultCacheContract, BinaryResultsAndArgumentsComeBackAsTheyWere) {
  const Pin pin = epochs.pin({{"scorer", "1"}});
  const std::string arguments("a\0b\n", 4);
  const std::string result("\0\xff\n\0", 4);
  ASSERT_TRUE(cache->store(key(pin, arguments), bytes_of(result)).ok());
  EXPECT_EQ(find(key(pin, arguments)), result);
  EXPECT_EQ(find(key(pin, "a")), "(none)");
}

TEST_P(ResultCacheContract, StoringAgainReplaces) {
  const Pin pin = epochs.pin({{"scorer", "1"}});
  ASSERT_TRUE(cache->store(key(pin, "1"), bytes("first")).ok());
  ASSERT_TRUE(cache->store(key(pin, "1"), bytes("2nd")).ok());
  EXPECT_EQ(find(key(pin, "1")), "2nd");
  EXPECT_EQ(cache->stats()->entries, 1U);
  EXPECT_EQ(cache->stats()->bytes, 3U);
}

TEST_P(ResultCacheContract, GoingBackToOldBytesFindsOldResults) {
  const Pin first = epochs.pin({{"scorer", "1"}});
  ASSERT_TRUE(cache->store(key(first, "20"), bytes("one")).ok());
  const Pin second = epochs.pin({{"scorer", "2"}});
  EXPECT_EQ(find(key(second, "20")), "(none)");
  ASSERT_TRUE(cache->store(key(second, "20"), bytes("two")).ok());
  const Pin back = epochs.pin({{"scorer", "1"}});
  EXPECT_EQ(back.epoch(), 3U);
  EXPECT_EQ(find(key(back, "20")), "one");
}

TEST_P(ResultCacheContract, OtherModulesOfTheEpochDoNotMatter) {
  const Pin first = epochs.pin({{"scorer", "1"}, {"mixer", "1"}});
  ASSERT_TRUE(cache->store(key(first, "20"), bytes("one")).ok());
  EXPECT_EQ(find(key(epochs.pin({{"scorer", "1"}, {"mixer", "2"}, {"new", "1"}}), "20")), "one");
}

TEST_P(ResultCacheContract, MissOfAChangedDependencyNamesIt) {
  const std::map<std::string, std::vector<std::string>> needs = {{"scorer", {"middle"}},
                                                                 {"middle", {"base"}}};
  const Pin first = epochs.pin({{"scorer", "1"}, {"middle", "1"}, {"base", "1"}}, needs);
  ASSERT_TRUE(cache->store(key(first, "20"), bytes("one")).ok());
  const Pin second = epochs.pin({{"scorer", "1"}, {"middle", "1"}, {"base", "2"}}, needs);
  EXPECT_EQ(find(key(second, "20")), "(none)");
  const Miss miss = why(key(second, "20"));
  EXPECT_EQ(miss.reason, Reason::kModuleChanged);
  ASSERT_EQ(miss.changed.size(), 1U);
  EXPECT_EQ(miss.changed[0].module, "base");
  EXPECT_EQ(miss.changed[0].before, digest_of("1").to_string());
  EXPECT_EQ(miss.changed[0].now, digest_of("2").to_string());
  EXPECT_THAT(miss.message, HasSubstr("base (was " + digest_of("1").hex().substr(0, 12)));
}

TEST_P(ResultCacheContract, MissIsExplainedAgainstTheNearestCode) {
  const std::map<std::string, std::vector<std::string>> needs = {{"scorer", {"base"}}};
  ASSERT_TRUE(
      cache->store(key(epochs.pin({{"scorer", "1"}, {"base", "1"}}, needs), "20"), bytes("one")).ok());
  ASSERT_TRUE(
      cache->store(key(epochs.pin({{"scorer", "2"}, {"base", "2"}}, needs), "20"), bytes("two")).ok());
  const Miss miss = why(key(epochs.pin({{"scorer", "1"}, {"base", "3"}}, needs), "20"));
  EXPECT_EQ(miss.reason, Reason::kModuleChanged);
  EXPECT_THAT(miss.changed,
              ElementsAre(ChangedPart{"base", digest_of("1").to_string(), digest_of("3").to_string()}));
}

TEST_P(ResultCacheContract, MissOfADependencyThatCameOrWentSaysSo) {
  ASSERT_TRUE(
      cache->store(key(epochs.pin({{"scorer", "1"}, {"old", "1"}}, {{"scorer", {"old"}}}), "20"), {}).ok());
  const Miss miss = why(key(epochs.pin({{"scorer", "1"}, {"young", "1"}}, {{"scorer", {"young"}}}), "20"));
  EXPECT_THAT(miss.changed, ElementsAre(ChangedPart{"old", digest_of("1").to_string(), ""},
                                        ChangedPart{"young", "", digest_of("1").to_string()}));
  EXPECT_THAT(miss.message, HasSubstr("old (gone"));
  EXPECT_THAT(miss.message, HasSubstr("young (new"));
}

TEST_P(ResultCacheContract, OtherReasonsAreToldApart) {
  const Pin pin = epochs.pin({{"scorer", "1"}, {"mixer", "1"}});
  EXPECT_EQ(why(key(pin, "20")).reason, Reason::kNeverSeen);
  ASSERT_TRUE(cache->store(key(pin, "20"), bytes("one")).ok());
  EXPECT_EQ(why(key(pin, "20")).reason, Reason::kNone);
  EXPECT_EQ(why(key(pin, "21")).reason, Reason::kOtherArguments);
  EXPECT_THAT(why(key(pin, "21")).changed, IsEmpty());
  EXPECT_EQ(why(key(pin, "20", "other")).reason, Reason::kNeverSeen);
  EXPECT_EQ(why(key(pin, "20", "score", "mixer")).reason, Reason::kNeverSeen);
  const Miss both = why(key(epochs.pin({{"scorer", "2"}}), "21"));
  EXPECT_EQ(both.reason, Reason::kOtherArguments);
  EXPECT_EQ(both.changed.size(), 1U);
}

TEST_P(ResultCacheContract, LeastRecentlyUsedGoesAndIsRemembered) {
  open({.entries = 3, .bytes = 1000});
  const Pin pin = epochs.pin({{"scorer", "1"}});
  for (const char* argument : {"a", "b", "c"})
    ASSERT_TRUE(cache->store(key(pin, argument), bytes(argument)).ok());
  EXPECT_EQ(find(key(pin, "a")), "a");  // used again: "b" is the oldest now
  ASSERT_TRUE(cache->store(key(pin, "d"), bytes("d")).ok());
  EXPECT_EQ(find(key(pin, "b")), "(none)");
  EXPECT_EQ(why(key(pin, "b")).reason, Reason::kEvicted);
  EXPECT_EQ(find(key(pin, "a")), "a");
  EXPECT_EQ(find(key(pin, "c")), "c");
  EXPECT_EQ(find(key(pin, "d")), "d");
  EXPECT_EQ(cache->stats()->evictions, 1U);
  ASSERT_TRUE(cache->store(key(pin, "b"), bytes("again")).ok());
  EXPECT_EQ(find(key(pin, "b")), "again");
}

TEST_P(ResultCacheContract, BytesAreBoundedToo) {
  open({.entries = 100, .bytes = 10});
  const Pin pin = epochs.pin({{"scorer", "1"}});
  ASSERT_TRUE(cache->store(key(pin, "a"), bytes("123456")).ok());
  ASSERT_TRUE(cache->store(key(pin, "b"), bytes("1234")).ok());
  EXPECT_EQ(cache->stats()->bytes, 10U);
  ASSERT_TRUE(cache->store(key(pin, "c"), bytes("1")).ok());
  EXPECT_EQ(cache->stats()->bytes, 5U);
  EXPECT_EQ(find(key(pin, "a")), "(none)");
  const Status too_large = cache->store(key(pin, "d"), bytes("12345678901"));
  ASSERT_FALSE(too_large.ok());
  EXPECT_EQ(too_large.error().code, ErrorCode::kLimit);
  EXPECT_EQ(cache->stats()->entries, 2U);
}

TEST_P(ResultCacheContract, WhatWentIsRememberedUpToALimitToo) {
  open({.entries = 4, .bytes = 1000});
  const Pin pin = epochs.pin({{"scorer", "1"}});
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(cache->store(key(pin, std::to_string(i)), bytes("x")).ok());
  EXPECT_EQ(cache->stats()->entries, 4U);
  EXPECT_EQ(cache->stats()->remembered, 4U);
  EXPECT_EQ(cache->stats()->evictions, 16U);
  EXPECT_EQ(why(key(pin, "12")).reason, Reason::kEvicted);
  EXPECT_EQ(why(key(pin, "11")).reason, Reason::kOtherArguments);
}

TEST_P(ResultCacheContract, MalformedKeysAreRefused) {
  const Pin pin = epochs.pin({{"scorer", "1"}});
  EXPECT_FALSE(ResultKey::make(pin, "nothing", "score", {}).ok());
  EXPECT_FALSE(ResultKey::make(pin, "scorer", "", {}).ok());
  EXPECT_FALSE(ResultKey::make(pin, "scorer", "two\nlines", {}).ok());
  EXPECT_FALSE(ResultKey::make(Pin(), "scorer", "score", {}).ok());
  ResultKey wrong = key(pin, "1");
  wrong.closure = "what";
  EXPECT_FALSE(cache->find(wrong).ok());
  EXPECT_FALSE(cache->store(wrong, {}).ok());
  EXPECT_FALSE(cache->explain(wrong).ok());
}

TEST_P(ResultCacheContract, ThreadsShareIt) {
  open({.entries = 50, .bytes = 100'000});
  const Pin pin = epochs.pin({{"scorer", "1"}});
  std::vector<ResultKey> keys;
  for (int i = 0; i < 80; ++i) keys.push_back(key(pin, std::to_string(i)));
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const auto n = static_cast<std::size_t>((i * 7 + t * 13) % 80);
        const auto found = cache->find(keys[n]);
        if (!found) ++wrong;
        if (found && *found && **found != bytes(std::to_string(n))) ++wrong;
        if (found && !*found && !cache->store(keys[n], bytes(std::to_string(n)))) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(cache->stats()->entries, 50U);
}

INSTANTIATE_TEST_SUITE_P(Memory, ResultCacheContract, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Sqlite, ResultCacheContract, ::testing::Values(true));

TEST(ResultKey, HasTheClosureDigestOfTheProtocol) {
  Epochs epochs;
  const Pin pin = epochs.pin({{"scorer", "1"}, {"a", "1"}, {"b", "1"}, {"x", "1"}},
                             {{"scorer", {"a"}}, {"a", {"b", "scorer"}}});
  const auto key = ResultKey::make(pin, "scorer", "score", {});
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(key->closure, closure_digest(epochs.newest, "scorer")->to_string());
  ASSERT_EQ(key->parts.size(), 3U);
  EXPECT_EQ(key->parts[0].module, "a");
}

TEST(ExplainResults, LooksAtABoundedNumberOfCodes) {
  ResultKey key;
  key.module = "m";
  key.symbol = "s";
  key.parts = {{"m", "now"}};
  results::Neighbours neighbours;
  neighbours.same_arguments.assign(results::kCodesCompared, {{"m", "before"}, {"n", "1"}});
  neighbours.same_arguments.push_back({{"m", "nearer, but beyond the bound"}});
  EXPECT_EQ(results::explain(key, neighbours).changed.size(), 2U);
}

class SharedResultCache : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "moddev-results-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    path_ = (directory_ / "results.db").string();
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path directory_;
  std::string path_;
  Epochs epochs;
};

TEST_F(SharedResultCache, OutlivesTheProcessAndIsPrivate) {
  const Pin pin = epochs.pin({{"scorer", "1"}});
  const ResultKey key = *ResultKey::make(pin, "scorer", "score", {});
  {
    auto cache = open_result_cache(path_);
    ASSERT_TRUE((*cache)->store(key, bytes("kept")).ok());
  }
  auto again = open_result_cache(path_);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*(*again)->find(key), bytes("kept"));
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(SharedResultCache, UsesCountAcrossReopening) {
  const Pin pin = epochs.pin({{"scorer", "1"}});
  const auto key = [&](std::string_view argument) {
    return *ResultKey::make(pin, "scorer", "score", bytes_of(argument));
  };
  const ResultCacheLimits limits{.entries = 2, .bytes = 100};
  {
    auto cache = open_result_cache(path_, limits);
    ASSERT_TRUE((*cache)->store(key("a"), {}).ok());
    ASSERT_TRUE((*cache)->store(key("b"), {}).ok());
    ASSERT_TRUE((*cache)->find(key("a"))->has_value());
  }
  auto cache = open_result_cache(path_, limits);
  ASSERT_TRUE((*cache)->store(key("c"), {}).ok());
  EXPECT_TRUE((*cache)->find(key("a"))->has_value());
  EXPECT_FALSE((*cache)->find(key("b"))->has_value());
}

TEST_F(SharedResultCache, ManyHitsAreNotedWithoutAStore) {
  const Pin pin = epochs.pin({{"scorer", "1"}});
  auto cache = open_result_cache(path_);
  std::vector<ResultKey> keys;
  for (int i = 0; i < 300; ++i) {
    keys.push_back(*ResultKey::make(pin, "scorer", "score", bytes_of(std::to_string(i))));
    ASSERT_TRUE((*cache)->store(keys.back(), {}).ok());
  }
  for (const ResultKey& key : keys) ASSERT_TRUE((*cache)->find(key)->has_value());
  EXPECT_EQ((*cache)->stats()->hits, 300U);
}

TEST_F(SharedResultCache, ProcessesWriteAtTheSameTime) {
  const Pin pin = epochs.pin({{"scorer", "1"}});
  std::vector<ResultKey> keys;
  for (int i = 0; i < 60; ++i)
    keys.push_back(*ResultKey::make(pin, "scorer", "score", bytes_of(std::to_string(i))));
  std::vector<pid_t> children;
  for (int child = 0; child < 3; ++child) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      auto cache = open_result_cache(path_, {.entries = 40, .bytes = 10'000});
      if (!cache) ::_exit((std::fprintf(stderr, "%s\n", cache.error().message.c_str()), 2));
      for (std::size_t i = 0; i < keys.size(); ++i) {
        const std::size_t n = (i + static_cast<std::size_t>(child) * 20) % keys.size();
        const Status stored = (*cache)->store(keys[n], bytes(std::to_string(n)));
        if (!stored) ::_exit((std::fprintf(stderr, "%s\n", stored.error().message.c_str()), 3));
        const auto found = (*cache)->find(keys[n]);
        if (!found) ::_exit((std::fprintf(stderr, "%s\n", found.error().message.c_str()), 4));
        if (*found && **found != bytes(std::to_string(n))) ::_exit(5);
      }
      cache->reset();
      ::_exit(0);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
  }
  auto cache = open_result_cache(path_, {.entries = 40, .bytes = 10'000});
  ASSERT_TRUE(cache.ok());
  EXPECT_EQ((*cache)->stats()->entries, 40U);
  std::size_t there = 0;
  for (const ResultKey& key : keys) there += (*cache)->find(key)->has_value() ? 1U : 0U;
  EXPECT_EQ(there, 40U);
}

TEST_F(SharedResultCache, FileThatOthersMayWriteToIsRefused) {
  std::ofstream(path_) << "";
  ::chmod(path_.c_str(), 0666);
  const auto open = open_result_cache(path_);
  ASSERT_FALSE(open.ok());
  EXPECT_EQ(open.error().code, ErrorCode::kPermission);
  EXPECT_THAT(open.error().message, HasSubstr(path_));
}

TEST_F(SharedResultCache, FileThatIsNoDatabaseIsLeftAloneAndNamed) {
  std::ofstream(path_) << std::string(5000, 'x');
  ::chmod(path_.c_str(), 0600);
  const auto open = open_result_cache(path_);
  ASSERT_FALSE(open.ok());
  EXPECT_EQ(open.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(open.error().message, HasSubstr("remove the file"));
  EXPECT_EQ(std::filesystem::file_size(path_), 5000U);
}

TEST_F(SharedResultCache, DirectoryThatIsMissingIsNamed) {
  const auto open = open_result_cache("/no/such/directory/results.db");
  ASSERT_FALSE(open.ok());
  EXPECT_THAT(open.error().message, HasSubstr("/no/such/directory/results.db"));
}

}  // namespace
}  // namespace moddev
