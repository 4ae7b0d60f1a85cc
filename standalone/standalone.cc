#include <moddev/standalone.h>

#include <chrono>
#include <utility>

#include "client/src/client_factory.h"
#include "client/src/requester.h"
#include "standalone/in_process_daemon.h"

namespace moddev {
namespace {

/// A daemon answers between two steps, which are short; a socket that nobody listens at says so at once.
constexpr auto kAnswerPatience = std::chrono::milliseconds(500);

}  // namespace

Result<Client> watch_in_process(const std::string& directory, StandaloneOptions options) {
  const auto here = client::Surroundings::of_this_process();
  const auto places = client::cache_directories(options.client, here);
  if (!places) return places.error();
  auto daemon = standalone::InProcessDaemon::start(directory, options, *places);
  if (!daemon) return daemon.error();
  auto parts = client::common_parts(options.client, *places, (*daemon)->directory() + " (in this process)");
  if (!parts) return parts.error();
  auto link = (*daemon)->connect();
  if (!link) return link.error();
  parts->link = std::move(*link);
  parts->outlives = std::move(*daemon);
  return client::ClientFactory::make(std::move(*parts));
}

Result<Client> connect_or_watch(const std::string& directory, StandaloneOptions options) {
  const auto here = client::Surroundings::of_this_process();
  const auto found = client::discover_endpoint(options.client.endpoint, here);
  if (!found) return found.error();
  const auto keys = client::discover_keys(options.client.key, options.client.daemon_keys, here);
  if (!keys) return keys.error();
  // Just whether it answers; the client makes a connection of its own.
  const auto asked =
      client::Requester::open(found->endpoint, "moddev " MODDEV_VERSION, kAnswerPatience, *keys);
  if (!asked) return watch_in_process(directory, std::move(options));
  return Client::connect(std::move(options.client));
}

}  // namespace moddev
