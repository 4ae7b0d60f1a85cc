// How a Client is put together. The public connect() does it over sockets; a program that has the daemon in
// its own process does it over a link of its own.
#pragma once

#include <moddev/client.h>

#include <memory>

#include "client/src/discovery.h"
#include "client/src/runtime.h"
#include "protocol/result.h"

namespace moddev::client {

/// Everything but the link: identity, cache directory, loader, views. `endpoint` is for messages to people.
/// Errors: the cache directory cannot be used.
[[nodiscard]] Result<RuntimeParts> common_parts(const ClientOptions& options, const Surroundings& here,
                                                const std::string& endpoint);

struct ClientFactory {
  /// `where`: how messages name the daemon's place.
  static Result<Client> make(RuntimeParts parts);
};

}  // namespace moddev::client
