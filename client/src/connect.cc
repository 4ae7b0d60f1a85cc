// Client::connect(): finds the daemon, prepares the cache, and puts a client together over sockets.
#include <moddev/client.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>

#include "client/src/believed_lists.h"
#include "client/src/client_factory.h"
#include "client/src/host_cache.h"
#include "client/src/image_cache.h"
#include "client/src/last_epoch.h"
#include "client/src/limits.h"
#include "client/src/loader_thread.h"
#include "client/src/zmq_link.h"
#include "protocol/endpoint.h"
#include "protocol/text.h"

namespace moddev {
namespace client {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

ExecutorIdentity identity_of_this_process(const std::string& name) {
  ExecutorIdentity identity;
  identity.id = Uuid::random();
  identity.name = clean_text(name.empty() ? ::program_invocation_short_name : name, limits::kModuleNameBytes);
  identity.host = clean_text(host_name(), limits::kModuleNameBytes);
  identity.pid = ::getpid();
  return identity;
}

/// The directory that modules are loaded from: nobody else may put anything into it.
Status prepare_cache_directory(const std::string& directory) {
  const std::filesystem::path path(directory);
  if (!path.is_absolute()) {
    return Error{ErrorCode::kInvalidArgument,
                 "The cache directory '" + directory + "' is not an absolute path."};
  }
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return errno_error("Cannot make " + path.parent_path().string(), error.value());
  if (Status mine = ensure_private_directory(directory, ::geteuid()); !mine) {
    return mine.error().with_context("The cache directory");
  }
  return {};
}

/// What ran here last is loaded if need be, and what runs here is written down for the next time. Both are a
/// convenience: where they fail, the client waits for its daemon as if there had been no last time. With
/// signers, what was written down has to be signed, and nothing older is accepted from the daemon.
void remember_epochs(std::chrono::seconds grace, const std::filesystem::path& root,
                     const std::string& endpoint, const std::vector<PublicKey>& signers,
                     RuntimeParts& parts) {
  const std::filesystem::path file = remembered_path(root, endpoint, signers);
  const WallTime now = SystemClock().wall_now();
  bool believed = signers.empty();
  if (!believed) {
    const auto last = read_remembered(file, limits::kRememberedAge, now);
    believed = last && *last && (*last)->statement &&
               parts.session.trust.accept_remembered(*(*last)->statement, (*last)->repo, (*last)->manifest);
  }
  if (believed) {
    if (auto last = read_remembered(file, grace, now)) parts.remembered = std::move(*last);
  }
  parts.remember = [file](const Remembered& what) { (void)write_remembered(file, what); };
}

}  // namespace

Result<CacheDirectories> cache_directories(const ClientOptions& options, const Surroundings& here) {
  auto root = options.cache_directory.empty() ? default_cache_directory(here)
                                              : Result<std::string>(options.cache_directory);
  if (!root) return root.error();
  MODDEV_TRY(prepare_cache_directory(*root));
  CacheDirectories places;
  places.root = *root;
  places.blobs = places.root / "blobs";
  // Images live as long as they are mapped; making files in memory is several times faster.
  places.images = options.cache_directory.empty() ? default_image_directory() : places.root / "images";
  return places;
}

Result<RuntimeParts> common_parts(const ClientOptions& options, const CacheDirectories& places,
                                  const std::string& endpoint) {
  auto cache = DirectoryBlobStore::open(places.blobs);
  if (!cache) return cache.error();

  RuntimeParts parts;
  // A cache that cannot be shared well is still a cache.
  if (auto use = join_host_cache(places.root)) parts.session.cache_use = std::move(*use);
  parts.session.identity = identity_of_this_process(options.name);
  parts.session.software = "moddev " MODDEV_VERSION;
  parts.session.endpoint = endpoint;
  for (std::size_t i = 0; i < 8; ++i)
    parts.session.seed = parts.session.seed << 8 | parts.session.identity.id.bytes[i];
  parts.cache = std::move(*cache);
  parts.views = std::make_shared<ViewStore>();
  parts.loader = make_loader(LoaderOptions{places.images, *parts.cache, {.enabled = options.trial}});
  parts.on_event = options.on_event;
  return parts;
}

}  // namespace client

Result<Client> Client::connect(ClientOptions options) {
  const auto here = client::Surroundings::of_this_process();
  const auto found = client::discover_endpoint(options.endpoint, here);
  if (!found) return found.error();
  const auto lists = std::make_shared<client::BelievedLists>(options.signers, options.modules, here);
  const auto believed = lists->read();
  if (!believed) return believed.error();
  auto keys = client::discover_keys(options.key, options.daemon_keys, here);
  if (!keys) return keys.error();
  const auto places = client::cache_directories(options, here);
  if (!places) return places.error();
  auto parts = client::common_parts(options, *places, found->endpoint);
  if (!parts) return parts.error();
  parts->session.trust = client::Trust(believed->signers, believed->modules);
  parts->believed = [lists] { return lists->changed(); };
  client::remember_epochs(options.offline_grace, places->root, found->endpoint, believed->signers, *parts);
  // discover_endpoint() has parsed it already.
  const auto parsed = parse_endpoint(found->endpoint);
  if (options.small_transfers || (parsed && !parsed->is_local())) {
    parts->session.accept = {Encoding::kPatch, Encoding::kZstd};
  }
  auto link = client::ZmqLink::connect(found->endpoint, std::move(*keys));
  if (!link) return link.error();
  parts->link = std::move(*link);
  return client::ClientFactory::make(std::move(*parts));
}

}  // namespace moddev
