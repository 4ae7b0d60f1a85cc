// Key files and the list of trusted keys: formats that others can read and write, permissions that keep
// others out, and nothing half-written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "daemon/access.h"
#include "daemon/caller.h"
#include "protocol/private_file.h"
#include "protocol/signing_key.h"
#include "protocol/transport_key.h"
#include "protocol/trust.h"

namespace moddev {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class KeyFiles : public ::testing::Test {
 protected:
  KeyFiles() {
    std::string name = (std::filesystem::temp_directory_path() / "moddev-keys-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  ~KeyFiles() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  std::string put(const std::string& name, const std::string& content, mode_t mode) const {
    std::ofstream(path(name)) << content;
    ::chmod(path(name).c_str(), mode);
    return path(name);
  }

 private:
  std::string directory_;
};

TransportKeys new_transport_keys() {
  auto keys = TransportKeys::generate();
  EXPECT_TRUE(keys);
  return *keys;
}

TEST_F(KeyFiles, ATransportKeyComesBackFromItsFile) {
  const TransportKeys keys = new_transport_keys();
  const std::string file = path("transport.key_secret");
  ASSERT_TRUE(
      write_private_file(file, transport_secret_text(keys, "laptop"), Secrecy::kSecret, Existing::kKeep));
  const auto read = read_transport_keys(file, ::geteuid());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->public_key, keys.public_key);
  EXPECT_EQ(read->secret_key, keys.secret_key);
  const auto open = parse_transport_public_key(transport_public_text(keys, "laptop"), "x");
  ASSERT_TRUE(open);
  EXPECT_EQ(*open, keys.public_key);
  EXPECT_THAT(transport_public_text(keys, "laptop"), ::testing::Not(HasSubstr(keys.secret_key)));
}

// One key in 85 began with '-', and `moddev trust add NAME KEY` took it for a flag.
TEST_F(KeyFiles, NoKeyLooksLikeAFlag) {
  for (int i = 0; i < 1000; ++i) ASSERT_NE(new_transport_keys().public_key.front(), '-');
}

TEST_F(KeyFiles, AFileOfPyzmqOrCzmqIsRead) {
  // The pair of the example in the libzmq manual, zmq_curve(7), as pyzmq's create_certificates() writes it.
  const std::string text =
      "#   ****  Generated on 2026-01-01 by pyzmq  ****\n\nmetadata\ncurve\n"
      "    public-key = \"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\"\n"
      "    secret-key = \"D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\"\n";
  const auto keys = parse_transport_keys(text, "server.key_secret");
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->public_key, "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID");
}

TEST_F(KeyFiles, ASecretThatOthersMayReadIsRefusedWithTheCure) {
  const TransportKeys keys = new_transport_keys();
  for (const mode_t mode : {0640U, 0604U, 0660U, 0644U}) {
    const std::string file = put("transport.key_secret", transport_secret_text(keys, "a"), mode);
    const auto read = read_transport_keys(file, ::geteuid());
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::kPermission);
    EXPECT_THAT(read.error().message, AllOf(HasSubstr(file), HasSubstr("chmod 600")));
  }
  put("transport.key_secret", transport_secret_text(keys, "a"), 0400);
  EXPECT_TRUE(read_transport_keys(path("transport.key_secret"), ::geteuid()));
}

TEST_F(KeyFiles, AFileOfAnotherUserIsRefused) {
  const std::string file = put("transport.key_secret", "x", 0600);
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_EQ(::chown(file.c_str(), 65534, 65534), 0);
  const auto read = read_transport_keys(file, 0);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("belongs to user 65534"));
}

TEST_F(KeyFiles, AFifoOrADirectoryInItsPlaceDoesNotHoldUs) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(read_transport_keys(path("fifo"), ::geteuid()).error().code, ErrorCode::kPermission);
  EXPECT_FALSE(read_transport_keys(path(""), ::geteuid()));
}

TEST_F(KeyFiles, AnEndlessKeyFileIsRefused) {
  const std::string file = put("k", std::string(limits::kKeyFileBytes + 1, 'x'), 0600);
  EXPECT_EQ(read_transport_keys(file, ::geteuid()).error().code, ErrorCode::kLimit);
}

TEST_F(KeyFiles, HalvesOfTwoPairsAreRefused) {
  const TransportKeys mixed{new_transport_keys().public_key, new_transport_keys().secret_key};
  const auto parsed = parse_transport_keys(transport_secret_text(mixed, "a"), "file");
  ASSERT_FALSE(parsed);
  EXPECT_THAT(parsed.error().message, HasSubstr("is not the one of its secret-key"));
}

TEST_F(KeyFiles, APublicFileInThePlaceOfTheSecretOneSaysSo) {
  const auto parsed = parse_transport_keys(transport_public_text(new_transport_keys(), "a"), "transport.key");
  ASSERT_FALSE(parsed);
  EXPECT_THAT(parsed.error().message, AllOf(HasSubstr("transport.key"), HasSubstr("key_secret")));
}

TEST_F(KeyFiles, WhatIsNoKeyIsNoKey) {
  const std::string key = new_transport_keys().public_key;
  EXPECT_TRUE(is_transport_key(key));
  EXPECT_FALSE(is_transport_key(key.substr(1)));
  EXPECT_FALSE(is_transport_key(key + "0"));
  EXPECT_FALSE(is_transport_key(std::string(40, ' ')));
  EXPECT_FALSE(is_transport_key(std::string(40, '#'))) << "more than 32 bits in five characters";
  EXPECT_FALSE(is_transport_key(""));
}

/// 32 bytes from 64 hexadecimal digits.
std::array<std::byte, 32> bytes_from(std::string_view digits) {
  std::array<std::byte, 32> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(std::stoi(std::string(digits.substr(2 * i, 2)), nullptr, 16));
  return bytes;
}

// Points of low order of Curve25519 (https://cr.yp.to/ecdh.html#validate): whatever the other side's secret
// is, everybody knows what comes out, and could pretend to be whoever is trusted by such a key.
TEST_F(KeyFiles, KeysThatEverybodyHasTheSecretOfAreNoKeys) {
  for (const char* digits : {"0000000000000000000000000000000000000000000000000000000000000000",
                             "0100000000000000000000000000000000000000000000000000000000000000",
                             "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                             "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                             "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                             "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                             "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                             "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"}) {
    const std::string key = transport_key_text(bytes_from(digits));
    EXPECT_FALSE(is_transport_key(key)) << digits;
    const auto entry = trusted_from("laptop", key);
    ASSERT_FALSE(entry) << digits;
    EXPECT_THAT(entry.error().message, HasSubstr("pretend to have it"));
    const auto list = TrustList::parse("client laptop " + key + "\n", "trusted");
    ASSERT_FALSE(list) << digits;
    EXPECT_THAT(list.error().message, HasSubstr("trusted:1: "));
    EXPECT_FALSE(TrustList::parse("daemon tcp://10.0.0.1:7070 " + key + "\n", "trusted")) << digits;
  }
}

// The same for Ed25519 (RFC 8032), and what is no point of the curve at all: a key that was not copied whole.
TEST_F(KeyFiles, SigningKeysThatNoSecretBelongsToAreNoKeys) {
  for (const char* digits : {"0000000000000000000000000000000000000000000000000000000000000000",
                             "0100000000000000000000000000000000000000000000000000000000000000",
                             "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                             "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                             "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                             "0200000000000000000000000000000000000000000000000000000000000000"}) {
    const std::string key = "ed25519:" + std::string(digits);
    EXPECT_FALSE(PublicKey::parse(key)) << digits;
    const auto list = TrustList::parse("#\nsigner alice " + key + "\n", "trusted");
    ASSERT_FALSE(list) << digits;
    EXPECT_THAT(list.error().message, AllOf(HasSubstr("trusted:2: "), HasSubstr("no secret belongs to it")))
        << digits;
  }
}

TEST_F(KeyFiles, ASecretIsNeverReplacedUnasked) {
  const std::string file = path("s");
  ASSERT_TRUE(write_private_file(file, "one", Secrecy::kSecret, Existing::kKeep));
  EXPECT_EQ(write_private_file(file, "two", Secrecy::kSecret, Existing::kKeep).error().code,
            ErrorCode::kAlreadyExists);
  EXPECT_EQ(*read_private_file(file, Secrecy::kSecret, ::geteuid()), "one");
  ASSERT_TRUE(write_private_file(file, "two", Secrecy::kSecret, Existing::kReplace));
  EXPECT_EQ(*read_private_file(file, Secrecy::kSecret, ::geteuid()), "two");
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path(""))) ++files;
  EXPECT_EQ(files, 1U) << "nothing temporary is left";
}

// Others could have replaced it, or brought back the list from before a revocation.
TEST_F(KeyFiles, ADirectoryThatOthersMayWriteIsNoPlaceForKeys) {
  namespace fs = std::filesystem;
  const std::string file = path("open/s");
  fs::create_directory(path("open"));
  ASSERT_TRUE(write_private_file(file, "one", Secrecy::kSecret, Existing::kKeep));
  for (const unsigned mode : {0777U, 0770U, 0707U}) {
    fs::permissions(path("open"), static_cast<fs::perms>(mode));
    for (const Secrecy secrecy : {Secrecy::kSecret, Secrecy::kPublic}) {
      const auto content = read_private_file(file, secrecy, ::geteuid());
      ASSERT_FALSE(content.ok()) << mode;
      EXPECT_EQ(content.error().code, ErrorCode::kPermission);
      EXPECT_NE(content.error().message.find("chmod go-w " + path("open")), std::string::npos)
          << content.error().message;
    }
  }
  fs::permissions(path("open"), static_cast<fs::perms>(01777));
  EXPECT_TRUE(read_private_file(file, Secrecy::kSecret, ::geteuid()).ok()) << "as in /tmp";
  fs::permissions(path("open"), static_cast<fs::perms>(0755));
  EXPECT_TRUE(read_private_file(file, Secrecy::kSecret, ::geteuid()).ok());
}

TEST_F(KeyFiles, ASigningKeyComesBackFromPem) {
  const SigningKey key = SigningKey::generate();
  const auto read = parse_signing_key(signing_secret_text(key), "f");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->seed(), key.seed());
  EXPECT_EQ(read->public_key(), key.public_key());
  const auto open = parse_signing_public_key(signing_public_text(key.public_key()), "f");
  ASSERT_TRUE(open);
  EXPECT_EQ(*open, key.public_key());
}

TEST_F(KeyFiles, ASigningKeyOfOpensslIsRead) {
  // RFC 8410, section 10.3, and the public key of 10.1.
  const auto keys = parse_signing_key(
      "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
      "-----END PRIVATE KEY-----\n",
      "f");
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->public_key().to_string(),
            "ed25519:19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
}

TEST_F(KeyFiles, OtherPemsAndTextsAreNoSigningKeys) {
  for (const char* text :
       {"", "nonsense", "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n",
        // X25519, made with openssl genpkey
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIHgwNeNDNyFCPlXEYT0ZdL0wZVyGyPjoGnTwmcSAdXZU\n"
        "-----END PRIVATE KEY-----\n"}) {
    EXPECT_EQ(parse_signing_key(text, "f").error().code, ErrorCode::kCorrupt) << text;
    EXPECT_EQ(parse_signing_public_key(text, "f").error().code, ErrorCode::kCorrupt) << text;
  }
}

TEST_F(KeyFiles, AnEncryptedSigningKeyIsRefusedWithoutAQuestion) {
  const auto parsed = parse_signing_key(
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgS\n"
      "-----END ENCRYPTED PRIVATE KEY-----\n",
      "f");
  EXPECT_FALSE(parsed);
}

TEST(TrustListTest, ComesBackFromItsText) {
  const std::string one = new_transport_keys().public_key;
  const std::string two = new_transport_keys().public_key;
  const std::string signer = SigningKey::generate().public_key().to_string();
  TrustList list;
  ASSERT_TRUE(*list.add(*trusted_from("laptop", one)));
  ASSERT_TRUE(*list.add(*trusted_from("tcp://10.0.0.1:7070", two)));
  ASSERT_TRUE(*list.add(*trusted_from("alice", signer)));
  EXPECT_FALSE(*list.add(*trusted_from("alice", signer))) << "not new";
  const auto read = TrustList::parse(list.text(), "trusted");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->entries(), list.entries());
  EXPECT_EQ(read->client_of(one), "laptop");
  EXPECT_EQ(read->client_of(two), std::nullopt) << "a daemon's key lets nobody in";
  EXPECT_THAT(read->daemon_keys("tcp://10.0.0.1:7070"), ElementsAre(two));
  ASSERT_THAT(read->signers(), SizeIs(1));
  EXPECT_EQ(read->signers()[0].name, "alice");
}

TEST(TrustListTest, ANameMayHaveTwoKeysWhileOneIsReplaced) {
  const std::string old = new_transport_keys().public_key;
  const std::string fresh = new_transport_keys().public_key;
  TrustList list;
  ASSERT_TRUE(list.add(*trusted_from("laptop", old)));
  ASSERT_TRUE(list.add(*trusted_from("laptop", fresh)));
  EXPECT_EQ(list.client_of(old), "laptop");
  EXPECT_EQ(list.remove("laptop", old), 1U);
  EXPECT_EQ(list.client_of(old), std::nullopt);
  EXPECT_EQ(list.client_of(fresh), "laptop");
  EXPECT_EQ(list.remove("laptop"), 1U);
  EXPECT_EQ(list.remove("laptop"), 0U);
}

TEST(TrustListTest, OneKeyHasOneName) {
  const std::string key = new_transport_keys().public_key;
  TrustList list;
  ASSERT_TRUE(list.add(*trusted_from("laptop", key)));
  const auto again = list.add(*trusted_from("desktop", key));
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("'laptop'"));
}

TEST(TrustListTest, WrongLinesAreNamed) {
  const std::string key = new_transport_keys().public_key;
  const auto fails = [](const std::string& text) {
    const auto parsed = TrustList::parse(text, "trusted");
    return parsed ? std::string("no error") : parsed.error().message;
  };
  EXPECT_THAT(fails("# fine\n\nclient laptop\n"), HasSubstr("trusted:3: "));
  EXPECT_THAT(fails("friend laptop " + key + "\n"), HasSubstr("trusted:1: "));
  EXPECT_THAT(fails("client laptop " + key + " more\n"), HasSubstr("trusted:1: "));
  EXPECT_THAT(fails("client laptop tooshort\n"), HasSubstr("is no key"));
  EXPECT_THAT(fails("daemon laptop " + key + "\n"), HasSubstr("trusted:1: "));
  EXPECT_THAT(fails("client * " + key + "\n"), HasSubstr("no name for a key"));
  EXPECT_THAT(fails("daemon tcp://*:5 " + key + "\n"), HasSubstr("names no one place"));
  EXPECT_THAT(fails("signer alice " + key + "\n"), HasSubstr("of a client"));
}

// Or a line of the audit could be mistaken: "you fetched scorer 3".
TEST(TrustListTest, NamesByWhichOthersAreToldOfAreRefused) {
  const std::string key = new_transport_keys().public_key;
  const std::string signer = SigningKey::generate().public_key().to_string();
  for (const std::string& name :
       {daemon::Caller{}.who(), std::string(daemon::kOwnUser), std::string("others"), std::string("root"),
        std::string("anyone"), std::string("everybody"), std::string("User"), std::string("YOU"),
        std::string("10.0.0.2"), std::string("::1"), std::string("fe80::1%eth0")}) {
    for (const std::string& one : {key, signer}) {
      const auto entry = trusted_from(name, one);
      ASSERT_FALSE(entry) << name;
      EXPECT_EQ(entry.error().code, ErrorCode::kInvalidArgument);
      EXPECT_THAT(entry.error().message, HasSubstr("'" + name + "' is no name for a key"));
    }
    const auto list = TrustList::parse("# ours\nclient " + name + " " + key + "\n", "trusted");
    ASSERT_FALSE(list) << name;
    EXPECT_THAT(list.error().message, HasSubstr("trusted:2: '" + name + "'"));
  }
  for (const char* name :
       {"your-laptop", "user1", "rooted", "10.0.0.2-laptop", "me@example.org", "dead:beef"})
    EXPECT_TRUE(trusted_from(name, key)) << name;
}

TEST(TrustListTest, HasALimit) {
  TrustList list;
  std::string key(40, '0');
  for (std::size_t i = 0; i < limits::kTrustedKeys; ++i) {
    const std::string digits = std::to_string(10'000 + i);
    key.replace(35, 5, digits);
    ASSERT_TRUE(list.add(Trusted{TrustKind::kClient, "n" + digits, key}));
  }
  key.replace(35, 5, "99999");
  EXPECT_EQ(list.add(Trusted{TrustKind::kClient, "last", key}).error().code, ErrorCode::kLimit);
}

TEST(ConfigurationDirectory, FollowsTheXdgRules) {
  EXPECT_EQ(*configuration_directory("/c", "/h"), "/c/moddev");
  EXPECT_EQ(*configuration_directory("", "/h"), "/h/.config/moddev");
  EXPECT_EQ(*configuration_directory("relative", "/h"), "/h/.config/moddev");
  EXPECT_FALSE(configuration_directory(nullptr, nullptr));
}

}  // namespace
}  // namespace moddev
