// A real client with real sockets and a cache on disk, and a daemon that lies. Each attack is refused with
// its message, nothing of it is loaded, the last good epoch goes on, and when the attack is over the next
// true epoch gets through.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moddev/client.h>
#include <zstd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "protocol/limits.h"
#include "protocol/patch.h"
#include "tests/support/session/zmq_daemon.h"

namespace moddev::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using Answer = std::optional<std::optional<ReplyBody>>;

/// Larger than what is inlined, and than what is fetched whole when encodings are accepted.
const std::string& large(char fill) {
  static std::map<char, std::string> made;
  return made.try_emplace(fill, std::string(600'000, fill)).first->second;
}

class Attacks : public ::testing::Test {
 protected:
  Attacks() {
    daemon.with([&](ScriptDaemon& script) {
      script.signing_key = key;
      script.wall = SystemClock().wall_now();
      script.publish(script.make_manifest(1, {{"a", large('1')}, {"b", "b1"}}));
    });
  }

  void connect(bool small_transfers = false) {
    ClientOptions options;
    options.name = "victim";
    options.endpoint = endpoint;
    options.cache_directory = directory.path() + "/cache";
    options.signers = {key->public_key().to_string()};
    options.small_transfers = small_transfers;
    options.on_event = [this](const ClientEvent& event) {
      const std::lock_guard lock(mutex);
      told += event.module + ": " + event.message + "\n";
      if (event.kind == ClientEvent::Kind::kApplied) applied.push_back(event.epoch);
    };
    auto made = Client::connect(options);
    ASSERT_TRUE(made) << made.error().message;
    client = std::make_unique<Client>(std::move(*made));
    ASSERT_TRUE(client->wait_for_epoch(1, seconds(20)));
  }

  [[nodiscard]] std::string messages() {
    const std::lock_guard lock(mutex);
    return told;
  }
  void expect_refused(const std::string& message) {
    EXPECT_TRUE(await([&] { return messages().find(message) != std::string::npos; }, seconds(20)))
        << "expected: " << message << "\ntold: " << messages();
    expect_first_epoch();
  }
  void expect_first_epoch() {
    EXPECT_EQ(client->epoch(), 1U);
    const auto bytes = client->pin().bytes("b");
    ASSERT_TRUE(bytes);
    EXPECT_EQ(std::string(as_text(*bytes)), "b1");
    const std::lock_guard lock(mutex);
    EXPECT_EQ(applied, std::vector<std::uint64_t>{1});
  }
  /// The attack is over.
  void expect_next_epoch_gets_through() {
    Epoch next = 0;
    daemon.with([&](ScriptDaemon& script) {
      script.before_push = {};
      script.instead = {};
      script.signing_key = key;
      script.wall = SystemClock().wall_now();
      if (script.pending) script.abort();
      next = script.head + 1;
      script.publish(script.make_manifest(next, {{"a", large('1')}, {"b", "good"}}));
    });
    const auto beat = [&] { daemon.with([](ScriptDaemon& script) { script.heartbeat(); }); };
    EXPECT_TRUE(await([&] { return beat(), client->epoch() == next; }, seconds(20))) << messages();
  }
  /// Announces epoch 2 with `content` for "a".
  void announce(const std::string& content, const std::function<void(ScriptDaemon&)>& before = {}) {
    daemon.with([&](ScriptDaemon& script) {
      if (before) before(script);
      script.announce(script.make_manifest(script.head + 1, {{"a", content}, {"b", "evil"}}));
    });
  }
  /// Every piece of a blob is answered like this.
  void answer_pieces(std::function<ReplyBody(const BlobRequest&)> answer) {
    daemon.with([&](ScriptDaemon& script) {
      script.instead = [answer = std::move(answer)](const RequestBody& request) -> Answer {
        const auto* piece = std::get_if<BlobRequest>(&request);
        if (piece == nullptr) return std::nullopt;
        return answer(*piece);
      };
    });
  }

  std::shared_ptr<const SigningKey> key = std::make_shared<SigningKey>(SigningKey::generate());
  std::shared_ptr<const SigningKey> stranger = std::make_shared<SigningKey>(SigningKey::generate());
  std::mutex mutex;
  std::string told;
  std::vector<std::uint64_t> applied;
  PrivateDirectory directory;
  std::string endpoint = "ipc://" + directory.path() + "/d.sock";
  ZmqDaemon daemon{endpoint};
  std::unique_ptr<Client> client;
};

TEST_F(Attacks, AStrangersSignature) {
  connect();
  announce("evil", [&](ScriptDaemon& script) { script.signing_key = stranger; });
  expect_refused("It is signed by " + stranger->public_key().to_string());
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, NoSignature) {
  connect();
  announce("evil", [](ScriptDaemon& script) { script.signing_key = nullptr; });
  expect_refused("It is not signed, and this executor believes only");
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, AFlippedByteAnywhereInTheStatement) {
  connect();
  // Signer, signature, domain, purpose, zeroes, repo, epoch, manifest, detail, both times.
  for (const std::size_t at :
       {0U, 31U, 32U, 64U, 95U, 96U, 111U, 112U, 113U, 120U, 136U, 144U, 176U, 208U, 216U}) {
    SCOPED_TRACE(at);
    {
      const std::lock_guard lock(mutex);
      told.clear();
    }
    announce("evil", [at](ScriptDaemon& script) {
      script.before_push = [at](Event& event) {
        auto* announcement = std::get_if<AnnounceEvent>(&event.body);
        if (announcement == nullptr) return;
        announcement->statement->bytes[at] =
            static_cast<std::uint8_t>(announcement->statement->bytes[at] ^ 1U);
      };
    });
    expect_refused(at < 32 ? "It is signed by ed25519:" : "The signature does not belong to what was signed");
  }
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, AnAnnouncementThatWasHeardBefore) {
  connect();
  // What was signed for another epoch, under a new number.
  announce("evil", [](ScriptDaemon& script) {
    script.before_push = [&script](Event& event) {
      if (auto* announcement = std::get_if<AnnounceEvent>(&event.body))
        announcement->statement = script.stated(Purpose::kProposed, 1, script.committed.digest());
    };
  });
  expect_refused("What is signed is about epoch 1 of repo");
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, AnOldSignature) {
  connect();
  announce("evil", [](ScriptDaemon& script) { script.wall -= std::chrono::hours(1); });
  expect_refused("It is an old message that is played again, or the clocks");
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, ASignatureFromTheFuture) {
  connect();
  announce("evil", [](ScriptDaemon& script) { script.wall += std::chrono::hours(1); });
  expect_refused("the clocks of the two machines differ");
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, ModulesOfTwoEpochsMixed) {
  connect();
  announce("a2", [](ScriptDaemon& script) {
    script.before_push = [&script](Event& event) {
      auto* announcement = std::get_if<AnnounceEvent>(&event.body);
      if (announcement == nullptr) return;
      const Manifest mixed = script.make_manifest(announcement->epoch, {{"a", "a2"}, {"b", "of another"}});
      announcement->changes = diff(script.committed, mixed);
      announcement->manifest_digest = mixed.digest();
    };
  });
  expect_refused("are not the set that was signed");
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, AnOlderEpoch) {
  connect();
  Manifest first;
  daemon.with([&](ScriptDaemon& script) {
    first = script.committed;
    script.publish(script.make_manifest(2, {{"a", large('1')}, {"b", "b2"}}));
    script.heartbeat();
  });
  ASSERT_TRUE(client->wait_for_epoch(2, seconds(20)));
  ASSERT_TRUE(await([&] { return daemon.ask<bool>([](ScriptDaemon& s) { return !s.alives.empty(); }); }));
  daemon.with([&](ScriptDaemon& script) {
    script.restart();
    script.committed = first;
    script.heartbeat();
  });
  EXPECT_TRUE(await([&] { return messages().find("but epoch 2 was committed before") != std::string::npos; },
                    seconds(20)))
      << messages();
  EXPECT_EQ(client->epoch(), 2U);
}

TEST_F(Attacks, ACommitThatNobodySigned) {
  connect();
  daemon.with([](ScriptDaemon& script) {
    script.announce(script.make_manifest(2, {{"a", large('1')}, {"b", "never committed"}}));
  });
  ASSERT_TRUE(await([&] {
    return daemon.ask<bool>([](ScriptDaemon& s) {
      return std::any_of(s.acks.begin(), s.acks.end(), [](const AckRequest& ack) {
        return ack.epoch == 2 && ack.phase == AckPhase::kPrepared;
      });
    });
  }));
  daemon.with([](ScriptDaemon& script) {
    ++script.seq;
    script.push(script.event(CommitEvent{2}));
  });
  expect_refused("What says that it is committed does not come from whoever signed it");
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, BytesThatAreNotWhatWasSigned) {
  connect();
  answer_pieces([](const BlobRequest& piece) {
    return BlobReply{piece.digest, piece.offset, 600'000, share(std::string(piece.length, 'x'))};
  });
  announce(large('2'));
  expect_refused("What was fetched is not " + digest_of(large('2')).to_string());
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, AnotherSizeThanWasSigned) {
  connect();
  answer_pieces([](const BlobRequest& piece) {
    return BlobReply{piece.digest, piece.offset, std::uint64_t{1} << 40,
                     share(std::string(piece.length, 'x'))};
  });
  announce(large('2'));
  expect_refused("of 1099511627776 came");
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, MoreBytesThanWereAskedFor) {
  connect();
  answer_pieces([](const BlobRequest& piece) {
    return BlobReply{piece.digest, piece.offset, 600'000, share(std::string(20'000'000, 'x'))};
  });
  announce(large('2'));
  expect_refused("20000000 bytes from 0");
  expect_next_epoch_gets_through();
}

/// A frame of which a few kilobytes become 64 MiB.
Bytes bomb() {
  const std::string zeroes(1 << 26, '\0');
  Bytes frame(ZSTD_compressBound(zeroes.size()));
  const std::size_t size = ZSTD_compress(frame.data(), frame.size(), zeroes.data(), zeroes.size(), 1);
  frame.resize(size);
  return frame;
}

TEST_F(Attacks, AZstdBomb) {
  connect(true);
  const SharedBytes frame = share(bomb());
  ASSERT_LT(frame->size(), 400'000U);
  answer_pieces([frame](const BlobRequest& piece) {
    return BlobReply{piece.digest, piece.offset, 600'000, frame, Encoding::kZstd, frame->size()};
  });
  announce(large('2'));
  expect_refused("a: its bytes could not be had from the daemon");
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, APatchBomb) {
  connect(true);
  // The right header of a patch from what the client has, then a frame of something huge.
  auto patch =
      make_patch(as_bytes(large('1')), digest_of(large('1')), as_bytes(large('2')), digest_of(large('2')));
  ASSERT_TRUE(patch) << patch.error().message;
  Bytes evil(patch->begin(), patch->begin() + 76);
  const Bytes frame = bomb();
  evil.insert(evil.end(), frame.begin(), frame.end());
  const SharedBytes bytes = share(std::move(evil));
  answer_pieces([bytes](const BlobRequest& piece) {
    return BlobReply{piece.digest, piece.offset, 600'000, bytes, Encoding::kPatch, bytes->size()};
  });
  announce(large('2'));
  expect_refused("a: its bytes could not be had from the daemon");
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, NamesThatLeaveTheirDirectory) {
  connect();
  for (const char* name : {"../../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "a//evil", "."}) {
    SCOPED_TRACE(name);
    daemon.with([&](ScriptDaemon& script) {
      Manifest manifest = script.make_manifest(script.head + 1, {{"a", large('1')}, {name, "evil"}});
      script.announce(manifest);
      script.commit();
      script.committed = script.manifests.at(1);
    });
  }
  // Nobody can read such a message; that something is missing is noticed, and asked for.
  ASSERT_TRUE(await([&] {
    daemon.with([](ScriptDaemon& script) { script.heartbeat(); });
    return daemon.ask<bool>([](ScriptDaemon& s) { return s.snapshots > 0; });
  }));
  expect_first_epoch();
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, AFrameBeyondTheLimitAndMoreFramesThanAllowed) {
  connect();
  for (const bool huge : {true, false}) {
    announce("evil", [huge](ScriptDaemon& script) {
      script.before_push = [huge](Event& event) {
        auto* announcement = std::get_if<AnnounceEvent>(&event.body);
        if (announcement == nullptr) return;
        const SharedBytes bytes = share(std::string(huge ? limits::kFrameBytes + 1 : 1, 'x'));
        announcement->inline_blobs.assign(huge ? 1 : 200, {digest_of(*bytes), bytes});
      };
    });
    daemon.with([](ScriptDaemon& script) { script.before_push = {}; });
  }
  expect_next_epoch_gets_through();
}

TEST_F(Attacks, AMissingDaemonDoesNotMakeAnyoneBelieveTheCache) {
  connect();
  // What was written down is taken again by who believes the signer, and by nobody else.
  ASSERT_TRUE(await([&] {
    daemon.with([](ScriptDaemon& script) { script.heartbeat(); });
    return std::filesystem::exists(directory.path() + "/cache/last");
  }));
  client.reset();
  daemon.stop();
  for (const bool right : {false, true}) {
    SCOPED_TRACE(right);
    ClientOptions options;
    options.endpoint = endpoint;
    options.cache_directory = directory.path() + "/cache";
    options.signers = {(right ? key : stranger)->public_key().to_string()};
    auto made = Client::connect(options);
    ASSERT_TRUE(made) << made.error().message;
    if (right) {
      EXPECT_TRUE(made->wait_for("b", seconds(10)));
    } else {
      EXPECT_FALSE(made->wait_for("b", milliseconds(1500)));
    }
  }
}

}  // namespace
}  // namespace moddev::test
