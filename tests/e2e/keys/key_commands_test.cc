// `moddev keygen` and `moddev trust`, as people and scripts use them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

mode_t mode_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

Json keys_of(Yard& yard, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"keygen", "--json"});
  const Ran ran = yard.run(std::move(more));
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  return Json::parse(ran.out, nullptr, false);
}

TEST(Keygen, MakesBothKeysOnceAndShowsThemAgain) {
  Yard yard;
  const Json first = keys_of(yard, {"--name", "laptop"});
  EXPECT_TRUE(first["transport"]["new"]);
  EXPECT_TRUE(first["signing"]["new"]);
  const std::string directory = yard.path() + "/home/.config/moddev";
  EXPECT_EQ(mode_of(directory), 0700U);
  EXPECT_EQ(mode_of(directory + "/transport.key_secret"), 0600U);
  EXPECT_EQ(mode_of(directory + "/signing.pem"), 0600U);
  EXPECT_EQ(mode_of(directory + "/transport.key"), 0644U);
  const Json second = keys_of(yard);
  EXPECT_FALSE(second["transport"]["new"]);
  EXPECT_EQ(second["transport"]["public_key"], first["transport"]["public_key"]);
  EXPECT_EQ(second["signing"]["public_key"], first["signing"]["public_key"]);
}

TEST(Keygen, ReplacesOnlyWhatItIsToldTo) {
  Yard yard;
  const Json first = keys_of(yard);
  const Json second = keys_of(yard, {"--replace", "transport"});
  EXPECT_NE(second["transport"]["public_key"], first["transport"]["public_key"]);
  EXPECT_EQ(second["signing"]["public_key"], first["signing"]["public_key"]);
}

TEST(Keygen, PrintsWhatOthersHaveToRunAndNoSecret) {
  Yard yard;
  const Ran ran = yard.run({"keygen", "--name", "laptop"});
  const Json keys = keys_of(yard);
  EXPECT_THAT(ran.out, HasSubstr("moddev trust add laptop '" +
                                 keys["transport"]["public_key"].get<std::string>() + "'"));
  const std::string secret = Yard::read_file(keys["transport"]["file"]);
  const std::size_t at = secret.find("secret-key = \"") + 14;
  EXPECT_THAT(ran.out, Not(HasSubstr(secret.substr(at, 40))));
}

TEST(Keygen, AKeyThatOthersCanReadIsNotUsed) {
  Yard yard;
  const Json keys = keys_of(yard);
  ::chmod(keys["transport"]["file"].get<std::string>().c_str(), 0644);
  const Ran ran = yard.run({"keygen"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("transport.key_secret has mode 0644"), HasSubstr("chmod 600")));
}

TEST(Keygen, DoesNotTakeANameThatTheAuditUsesForOthers) {
  Yard yard;
  const Ran ran = yard.run({"keygen", "--name", "you"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("'you' is no name for a key"), HasSubstr("--name")));
  EXPECT_NE(::access((yard.path() + "/home/.config/moddev/transport.key").c_str(), F_OK), 0)
      << "nothing was made";
  const std::string key = keys_of(yard)["transport"]["public_key"];
  EXPECT_EQ(yard.run({"trust", "add", "root", key}).exit_code, 2);
  EXPECT_EQ(yard.run({"trust", "add", "127.0.0.1", key}).exit_code, 2);
  EXPECT_THAT(yard.run({"trust", "list"}).out, HasSubstr("Nobody is trusted"));
}

TEST(Trust, AddsListsAndRemoves) {
  Yard yard;
  const Json keys = keys_of(yard);
  const std::string transport = keys["transport"]["public_key"];
  EXPECT_THAT(yard.run({"trust", "list"}).out, HasSubstr("Nobody is trusted"));
  EXPECT_EQ(yard.run({"trust", "add", "laptop", transport}).exit_code, 0);
  EXPECT_EQ(
      yard.run({"trust", "add", "tcp://10.0.0.1:7070", yard.path() + "/home/.config/moddev/transport.key"})
          .exit_code,
      0)
      << "a file instead of the key";
  EXPECT_EQ(yard.run({"trust", "add", "alice", keys["signing"]["public_key"]}).exit_code, 0);
  const Ran list = yard.run({"trust", "list", "--json"});
  const auto line = [](const char* kind, const char* name, const Json& key) {
    return Json{{"kind", kind}, {"name", name}, {"key", key}}.dump() + "\n";
  };
  const std::string expected = line("client", "laptop", transport) +
                               line("daemon", "tcp://10.0.0.1:7070", transport) +
                               line("signer", "alice", keys["signing"]["public_key"]);
  EXPECT_EQ(list.out, expected);
  EXPECT_EQ(yard.run({"trust", "remove", "laptop"}).exit_code, 0);
  EXPECT_THAT(yard.run({"trust", "list"}).out, AllOf(Not(HasSubstr("laptop")), HasSubstr("alice")));
}

TEST(Trust, SaysWhatIsWrong) {
  Yard yard;
  const Ran key = yard.run({"trust", "add", "laptop", "abc"});
  EXPECT_EQ(key.exit_code, 2);
  EXPECT_THAT(key.err, AllOf(HasSubstr("'abc' is no key"), HasSubstr("moddev keygen")));
  const Ran nobody = yard.run({"trust", "remove", "laptop"});
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.err, HasSubstr("Nobody called 'laptop'"));
  EXPECT_EQ(yard.run({"trust"}).exit_code, 2);
  EXPECT_EQ(yard.run({"trust", "add", "laptop"}).exit_code, 2);
  EXPECT_THAT(yard.run({"trust", "list"}).err, IsEmpty());
}

TEST(Trust, AListThatOthersCouldWriteIsNotBelieved) {
  Yard yard;
  const Json keys = keys_of(yard);
  yard.run({"trust", "add", "laptop", keys["transport"]["public_key"]});
  ::chmod((yard.path() + "/home/.config/moddev/trusted").c_str(), 0666);
  const Ran ran = yard.run({"trust", "list"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, HasSubstr("others may change it"));
}

}  // namespace
}  // namespace moddev::e2e
