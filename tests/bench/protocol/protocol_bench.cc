// The protocol's share of the way from the closed file to the running code: hashing, storing, encoding,
// decoding, patching. The raw_ benchmarks are the primitive below each, measured in the same run.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "protocol/blob_store.h"
#include "protocol/codec.h"
#include "protocol/elf_image.h"
#include "protocol/patch.h"
#include "tests/support/protocol/sample_messages.h"

namespace moddev {
namespace {

namespace fs = std::filesystem;

/// A directory on the disk that a daemon would use, not on a tmpfs.
class Scratch {
 public:
  Scratch() {
    std::string name = "/var/tmp/moddev-bench-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Scratch() { fs::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Other bytes every time, for little work.
void stamp(Bytes& bytes, std::uint64_t number) {
  std::memcpy(bytes.data(), &number, sizeof number);
}

Bytes random_bytes(std::size_t size) {
  std::mt19937_64 random(1);
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

void digest(benchmark::State& state) {
  const Bytes bytes(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(digest_of(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(digest)->Arg(4 << 10)->Arg(64 << 10)->Arg(1 << 20);

void raw_write_and_rename(benchmark::State& state) {
  const Scratch scratch;
  Bytes bytes(static_cast<std::size_t>(state.range(0)));
  std::uint64_t number = 0;
  for (auto _ : state) {
    stamp(bytes, ++number);
    const std::string name = scratch.path() / std::to_string(number);
    const int fd = ::open((name + "t").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    benchmark::DoNotOptimize(::write(fd, bytes.data(), bytes.size()));
    ::close(fd);
    ::rename((name + "t").c_str(), name.c_str());
  }
}
BENCHMARK(raw_write_and_rename)->Arg(4 << 10)->Arg(64 << 10)->Iterations(2'000);

void store_new_blob(benchmark::State& state) {
  const Scratch scratch;
  auto store = DirectoryBlobStore::open(scratch.path() / "store").value();
  Bytes bytes(static_cast<std::size_t>(state.range(0)));
  std::uint64_t number = 0;
  for (auto _ : state) {
    stamp(bytes, ++number);
    auto writer = store->create().value();
    if (!writer->write(bytes) || !writer->finish() || !writer->commit()) state.SkipWithError("not stored");
  }
}
BENCHMARK(store_new_blob)->Arg(4 << 10)->Arg(64 << 10)->Iterations(2'000);

/// The same with the file made ahead, outside of the measured time.
void store_new_blob_made_ready(benchmark::State& state) {
  const Scratch scratch;
  auto store = DirectoryBlobStore::open(scratch.path() / "store").value();
  Bytes bytes(static_cast<std::size_t>(state.range(0)));
  std::uint64_t number = 0;
  for (auto _ : state) {
    state.PauseTiming();
    stamp(bytes, ++number);
    store->make_ready();
    state.ResumeTiming();
    auto writer = store->create().value();
    if (!writer->write(bytes) || !writer->finish() || !writer->commit()) state.SkipWithError("not stored");
  }
}
BENCHMARK(store_new_blob_made_ready)->Arg(4 << 10)->Arg(64 << 10)->Iterations(2'000);

void store_known_blob(benchmark::State& state) {
  const Scratch scratch;
  auto store = DirectoryBlobStore::open(scratch.path() / "store").value();
  const Bytes bytes(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    auto writer = store->create().value();
    if (!writer->write(bytes) || !writer->finish() || !writer->commit()) state.SkipWithError("not stored");
  }
}
BENCHMARK(store_known_blob)->Arg(4 << 10)->Arg(64 << 10);

void read_verified(benchmark::State& state) {
  const Scratch scratch;
  auto store = DirectoryBlobStore::open(scratch.path() / "store").value();
  const Bytes bytes(static_cast<std::size_t>(state.range(0)));
  const Digest name = digest_of(bytes);
  if (!store->put(name, bytes)) state.SkipWithError("not stored");
  for (auto _ : state) benchmark::DoNotOptimize(store->read(name));
}
BENCHMARK(read_verified)->Arg(64 << 10);

Event announcement(std::size_t modules) {
  AnnounceEvent announce;
  for (std::size_t i = 0; i < modules; ++i) {
    announce.changes.push_back({ChangeKind::kChanged, test::sample_module("module" + std::to_string(i))});
  }
  announce.inline_blobs.push_back({test::sample_digest(1), share(Bytes(64 << 10))});
  return {{test::sample_uuid(1), test::sample_uuid(2)}, 3, announce};
}

void encode_announcement(benchmark::State& state) {
  const Event event = announcement(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(encode(event));
}
BENCHMARK(encode_announcement)->Arg(1)->Arg(50);

void decode_announcement(benchmark::State& state) {
  const Frames frames = encode(announcement(static_cast<std::size_t>(state.range(0))));
  for (auto _ : state) benchmark::DoNotOptimize(decode_event(frames));
}
BENCHMARK(decode_announcement)->Arg(1)->Arg(50);

void ack_both_ways(benchmark::State& state) {
  const Request ack{7, AckRequest{test::sample_uuid(1), 8, AckPhase::kPrepared, {}, 900}};
  for (auto _ : state) benchmark::DoNotOptimize(decode_request(encode(ack)));
}
BENCHMARK(ack_both_ways);

void decode_snapshot(benchmark::State& state) {
  SnapshotReply snapshot;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    const std::string name = "module" + std::to_string(i);
    snapshot.committed.modules[name] = test::sample_module(name);
  }
  const Frames frames = encode(Reply{1, snapshot});
  for (auto _ : state) benchmark::DoNotOptimize(decode_reply(frames));
  state.counters["header_bytes"] = static_cast<double>(frames[0]->size());
}
BENCHMARK(decode_snapshot)->Arg(10)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMicrosecond);

void read_library(benchmark::State& state) {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  for (auto _ : state) benchmark::DoNotOptimize(read_elf(as_bytes(bytes)));
  state.counters["file_bytes"] = static_cast<double>(bytes.size());
}
BENCHMARK(read_library);

void check_library(benchmark::State& state) {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  for (auto _ : state) benchmark::DoNotOptimize(check_elf_complete(as_bytes(bytes)));
}
BENCHMARK(check_library);

void patch_small_edit(benchmark::State& state) {
  const Bytes base = random_bytes(static_cast<std::size_t>(state.range(0)));
  Bytes target = base;
  target[target.size() / 2] ^= std::byte{1};
  const Digest from = digest_of(base);
  const Digest to = digest_of(target);
  std::size_t size = 0;
  for (auto _ : state) size = make_patch(base, from, target, to)->size();
  state.counters["patch_bytes"] = static_cast<double>(size);
}
BENCHMARK(patch_small_edit)->Arg(64 << 10)->Arg(3 << 20)->Unit(benchmark::kMicrosecond);

void apply_small_edit(benchmark::State& state) {
  const Bytes base = random_bytes(static_cast<std::size_t>(state.range(0)));
  Bytes target = base;
  target[target.size() / 2] ^= std::byte{1};
  const Digest to = digest_of(target);
  const Bytes patch = make_patch(base, digest_of(base), target, to).value();
  for (auto _ : state) benchmark::DoNotOptimize(apply_patch(base, patch, to, target.size()));
}
BENCHMARK(apply_small_edit)->Arg(64 << 10)->Arg(3 << 20)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace moddev

BENCHMARK_MAIN();
