// What every BlobStore promises, on disk and in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "protocol/background_hasher.h"
#include "protocol/blob_store.h"
#include "protocol/limits.h"

namespace moddev {
namespace {

namespace fs = std::filesystem;
using ::testing::UnorderedElementsAre;

class BlobStoreContract : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "memory") {
      store_ = std::make_unique<MemoryBlobStore>();
      return;
    }
    std::string name = (fs::temp_directory_path() / "moddev-blobs-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    auto opened = DirectoryBlobStore::open(directory_ / "store");
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
  }
  void TearDown() override {
    store_.reset();
    if (!directory_.empty()) fs::remove_all(directory_);
  }

  Digest add(std::string_view text) {
    const Digest digest = digest_of(text);
    EXPECT_TRUE(store_->put(digest, as_bytes(text)).ok());
    return digest;
  }
  std::string text_of(const Digest& digest) {
    auto bytes = store_->read(digest);
    return bytes.ok() ? std::string(as_text(**bytes)) : "error: " + bytes.error().message;
  }

  fs::path directory_;
  std::unique_ptr<BlobStore> store_;
};

TEST_P(BlobStoreContract, GivesBackWhatWasPut) {
  const Digest digest = add("hello");
  EXPECT_TRUE(store_->contains(digest));
  EXPECT_EQ(store_->size(digest).value(), 5U);
  EXPECT_EQ(text_of(digest), "hello");
}

TEST_P(BlobStoreContract, TheEmptyBlobIsABlob) {
  const Digest digest = add("");
  EXPECT_TRUE(store_->contains(digest));
  EXPECT_EQ(store_->size(digest).value(), 0U);
  EXPECT_EQ(text_of(digest), "");
}

TEST_P(BlobStoreContract, LargeBlobsAreHashedWhole) {
  // Past the size from which they are hashed beside the writing, and by more pieces than wait for that.
  constexpr std::size_t kPiece = 256 * 1024;
  const std::size_t count = kHashBeside / kPiece + 3 * kHashedAhead;
  Hasher expected;
  auto writer = store_->create().value();
  for (std::size_t i = 0; i < count; ++i) {
    const Bytes piece(kPiece + i, static_cast<std::byte>(i));
    expected.update(piece);
    ASSERT_TRUE(writer->write(piece).ok());
  }
  const Digest digest = writer->finish().value();
  EXPECT_EQ(digest, expected.finish());
  ASSERT_TRUE(writer->commit().ok());
  EXPECT_EQ(store_->read(digest).value()->size(), writer->size());
}

TEST_P(BlobStoreContract, ALargeBlobThatIsGivenUpLeavesNothing) {
  auto writer = store_->create().value();
  const Bytes piece(kHashBeside, std::byte{7});
  for (std::size_t i = 0; i < kHashedAhead; ++i) ASSERT_TRUE(writer->write(piece).ok());
  writer.reset();
  EXPECT_THAT(store_->list().value(), UnorderedElementsAre());
}

TEST_P(BlobStoreContract, PiecesOfAWriterBecomeOneBlob) {
  // From within the writer's buffer to far beyond it, in pieces that do not fit evenly.
  for (const std::size_t size : {std::size_t{1}, limits::kBlobWriterBuffer - 1, limits::kBlobWriterBuffer,
                                 limits::kBlobWriterBuffer + 1, 3 * limits::kBlobWriterBuffer + 17}) {
    std::string whole;
    auto writer = store_->create().value();
    while (whole.size() < size) {
      const std::string piece(std::min<std::size_t>(50'001, size - whole.size()),
                              static_cast<char>('a' + whole.size() % 26));
      ASSERT_TRUE(writer->write(as_bytes(piece)).ok());
      whole += piece;
    }
    EXPECT_EQ(writer->size(), size);
    const Digest digest = writer->finish().value();
    EXPECT_EQ(digest, digest_of(whole));
    EXPECT_FALSE(store_->contains(digest)) << "visible before commit()";
    ASSERT_TRUE(writer->commit().ok());
    EXPECT_EQ(text_of(digest), whole);
  }
}

TEST_P(BlobStoreContract, ADroppedWriterLeavesNothing) {
  for (const std::size_t size : {std::size_t{10}, 2 * limits::kBlobWriterBuffer}) {
    auto writer = store_->create().value();
    ASSERT_TRUE(writer->write(as_bytes(std::string(size, 'x'))).ok());
    ASSERT_TRUE(writer->finish().ok());
  }
  EXPECT_TRUE(store_->list().value().empty());
}

TEST_P(BlobStoreContract, CommittingWhatIsThereChangesNothing) {
  const Digest digest = add("same");
  EXPECT_EQ(add("same"), digest);
  auto writer = store_->create().value();
  ASSERT_TRUE(writer->write(as_bytes("same")).ok());
  EXPECT_EQ(writer->finish().value(), digest);
  EXPECT_TRUE(writer->commit().ok());
  EXPECT_EQ(store_->list().value().size(), 1U);
}

TEST_P(BlobStoreContract, PutRefusesBytesOfAnotherDigest) {
  const auto status = store_->put(digest_of("one"), as_bytes("two"));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(store_->list().value().empty());
}

TEST_P(BlobStoreContract, WhatIsMissingIsNotFound) {
  const Digest digest = digest_of("nowhere");
  EXPECT_FALSE(store_->contains(digest));
  EXPECT_EQ(store_->size(digest).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store_->read(digest).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store_->read_range(digest, 0, 1).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(store_->remove(digest).ok());
}

TEST_P(BlobStoreContract, RangesEndWithTheBlob) {
  const Digest digest = add("0123456789");
  const auto range = [&](std::uint64_t offset, std::uint64_t length) {
    return std::string(as_text(store_->read_range(digest, offset, length).value()));
  };
  EXPECT_EQ(range(0, 4), "0123");
  EXPECT_EQ(range(8, 4), "89");
  EXPECT_EQ(range(10, 4), "");
  EXPECT_EQ(range(UINT64_MAX, 4), "");
  EXPECT_EQ(range(3, UINT64_MAX), "3456789");
  EXPECT_EQ(range(3, 0), "");
}

TEST_P(BlobStoreContract, ListsAndRemoves) {
  const Digest one = add("one");
  const Digest two = add("two");
  EXPECT_THAT(store_->list().value(), UnorderedElementsAre(one, two));
  EXPECT_TRUE(store_->remove(one).ok());
  EXPECT_FALSE(store_->contains(one));
  EXPECT_THAT(store_->list().value(), UnorderedElementsAre(two));
}

TEST_P(BlobStoreContract, BytesThatWereReadOutliveTheBlob) {
  const Digest digest = add("still here");
  const SharedBytes bytes = store_->read(digest).value();
  ASSERT_TRUE(store_->remove(digest).ok());
  EXPECT_EQ(as_text(*bytes), "still here");
}

TEST_P(BlobStoreContract, SyncSucceedsWithAndWithoutWork) {
  EXPECT_TRUE(store_->sync().ok());
  const Digest gone = add("removed before sync");
  add("kept");
  ASSERT_TRUE(store_->remove(gone).ok());
  EXPECT_TRUE(store_->sync().ok());
  EXPECT_TRUE(store_->sync().ok());
}

TEST_P(BlobStoreContract, ManyThreadsPutTheSameAndDifferentBlobs) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 50; ++i) {
        for (const std::string& text :
             {"shared " + std::to_string(i), std::to_string(t) + "/" + std::to_string(i)}) {
          EXPECT_TRUE(store_->put(digest_of(text), as_bytes(text)).ok());
          EXPECT_EQ(text_of(digest_of(text)), text);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(store_->list().value().size(), 50U + 4 * 50U);
}

INSTANTIATE_TEST_SUITE_P(Stores, BlobStoreContract, ::testing::Values("directory", "memory"),
                         [](const auto& store) { return store.param; });

}  // namespace
}  // namespace moddev
