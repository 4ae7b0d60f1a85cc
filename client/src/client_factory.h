// How a Client is put together. The public connect() does it over sockets; a program that has the daemon in
// its own process does it over a link of its own.
#pragma once

#include <moddev/client.h>

#include <filesystem>
#include <memory>
#include <string>

#include "client/src/discovery.h"
#include "client/src/runtime.h"
#include "protocol/result.h"

namespace moddev::client {

/// Where a client keeps what it fetched, and the private copies that it loads.
struct CacheDirectories {
  std::filesystem::path blobs;
  std::filesystem::path images;
  std::filesystem::path root;
};
/// Made as needed, and the user's own. Errors: kInvalidArgument, kPermission, kIo.
[[nodiscard]] Result<CacheDirectories> cache_directories(const ClientOptions& options,
                                                         const Surroundings& here);

/// Everything but the link and what is remembered: identity, cache, loader, views. `endpoint` is for messages
/// to people. Errors: the cache cannot be used.
[[nodiscard]] Result<RuntimeParts> common_parts(const ClientOptions& options, const CacheDirectories& places,
                                                const std::string& endpoint);

struct ClientFactory {
  /// `where`: how messages name the daemon's place.
  static Result<Client> make(RuntimeParts parts);
};

}  // namespace moddev::client
