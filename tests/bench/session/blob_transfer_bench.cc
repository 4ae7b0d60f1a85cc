// Blobs through the client's fetcher and its real sockets from a store on disk, beside raw libzmq that sends
// as many bytes as one message from memory to memory. In one process, over ipc; the daemon's side is the loop
// of a ROUTER that reads pieces from the store, as zmq_transport does.
//   blob_transfer_bench [BYTES...]
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "client/src/fetcher.h"
#include "client/src/zmq_link.h"
#include "daemon/zmq_transport.h"
#include "protocol/blob_store.h"
#include "tests/support/session/zmq_daemon.h"

namespace moddev {
namespace {

using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

Bytes content(std::size_t size) {
  Bytes bytes(size);
  std::uint64_t state = size + 88172645463325252ULL;
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::copy_n(reinterpret_cast<const std::byte*>(&state), 8,
                bytes.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return bytes;
}

/// A daemon's transport with nothing behind it but a store.
void serve(daemon::ZmqTransport& transport, const BlobStore& store, const std::atomic<bool>& stop) {
  while (!stop) {
    bool idle = true;
    while (auto request = transport.receive()) {
      idle = false;
      const auto* piece = std::get_if<BlobRequest>(&request->request.body);
      if (piece == nullptr) continue;
      auto bytes = store.read_range(piece->digest, piece->offset, piece->length);
      if (!bytes) continue;
      transport.reply(request->peer,
                      {request->request.id, BlobReply{piece->digest, piece->offset,
                                                      *store.size(piece->digest), share(std::move(*bytes))}});
    }
    if (!idle || transport.pending()) continue;
    std::vector<pollfd> waiting;
    for (const int descriptor : transport.descriptors()) waiting.push_back({descriptor, POLLIN, 0});
    ::poll(waiting.data(), waiting.size(), 10);
  }
}

double fetch(client::ZmqLink& link, DirectoryBlobStore& cache, const Digest& digest, std::size_t size) {
  SystemClock clock;
  client::Fetcher fetcher(cache);
  static std::uint64_t id = 0;
  const auto start = SteadyClock::now();
  fetcher.want({{digest, size}}, clock.now());
  while (!fetcher.done()) {
    fetcher.step(clock.now(), [&link](const BlobRequest& piece) {
      link.send({++id, piece});
      return id;
    });
    bool idle = true;
    while (auto input = link.receive()) {
      idle = false;
      if (auto* reply = std::get_if<Reply>(&*input)) fetcher.take(reply->id, reply->body, clock.now());
    }
    if (!idle) continue;
    std::vector<pollfd> waiting;
    for (const int descriptor : link.descriptors()) waiting.push_back({descriptor, POLLIN, 0});
    ::poll(waiting.data(), waiting.size(), 10);
  }
  const double took = seconds_since(start);
  (void)cache.remove(digest);
  return took;
}

double raw(zmq::context_t& context, const std::string& endpoint, const Bytes& bytes) {
  zmq::socket_t sender(context, zmq::socket_type::dealer);
  zmq::socket_t receiver(context, zmq::socket_type::dealer);
  sender.bind(endpoint);
  receiver.connect(endpoint);
  std::thread answering([&] {
    zmq::message_t request;
    (void)sender.recv(request);
    sender.send(zmq::message_t(
                    const_cast<std::byte*>(bytes.data()), bytes.size(), [](void*, void*) {}, nullptr),
                zmq::send_flags::none);
    (void)sender.recv(request);
  });
  const auto start = SteadyClock::now();
  receiver.send(zmq::str_buffer("?"), zmq::send_flags::none);
  zmq::message_t reply;
  (void)receiver.recv(reply);
  const double took = seconds_since(start);
  receiver.send(zmq::str_buffer("."), zmq::send_flags::none);
  answering.join();
  return took;
}

int run(std::vector<std::size_t> sizes) {
  if (sizes.empty()) sizes = {64UL << 10, 1UL << 20, 64UL << 20, 1UL << 30};
  const test::PrivateDirectory directory;
  auto transport = daemon::ZmqTransport::bind({"ipc://" + directory.path() + "/d.sock"});
  auto store = DirectoryBlobStore::open(directory.path() + "/store");
  auto cache = DirectoryBlobStore::open(directory.path() + "/cache");
  if (!transport || !store || !cache) return 1;
  std::atomic<bool> stop = false;
  std::thread server([&] { serve(**transport, **store, stop); });
  auto link = client::ZmqLink::connect("ipc://" + directory.path() + "/d.sock");
  zmq::context_t context;
  std::printf("%12s %16s %16s %8s   (best of some; ours is read from disk, verified and written to disk)\n",
              "bytes", "moddev MiB/s", "raw zmq MiB/s", "ratio");
  for (const std::size_t size : sizes) {
    const Bytes bytes = content(size);
    const Digest digest = digest_of(bytes);
    if (!(*store)->put(digest, bytes)) return 1;
    double ours = 1e9;
    double theirs = 1e9;
    const int times = size > (256UL << 20) ? 2 : 7;
    for (int i = 0; i < times; ++i) {
      ours = std::min(ours, fetch(**link, **cache, digest, size));
      theirs =
          std::min(theirs, raw(context, "ipc://" + directory.path() + "/raw" + std::to_string(i), bytes));
    }
    const double mib = static_cast<double>(size) / 1048576.0;
    std::printf("%12zu %16.0f %16.0f %8.2f\n", size, mib / ours, mib / theirs, theirs / ours);
    (void)(*store)->remove(digest);
  }
  stop = true;
  server.join();
  return 0;
}

}  // namespace
}  // namespace moddev

int main(int argc, char** argv) {
  std::vector<std::size_t> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(std::strtoull(argv[i], nullptr, 10));
  return moddev::run(sizes);
}
