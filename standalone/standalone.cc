#include <moddev/standalone.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <utility>

#include "client/src/believed_lists.h"
#include "client/src/client_factory.h"
#include "client/src/requester.h"
#include "protocol/private_file.h"
#include "protocol/signing_key.h"
#include "protocol/trust.h"
#include "standalone/in_process_daemon.h"

namespace moddev {
namespace {

/// A daemon answers between two steps, which are short; a socket that nobody listens at says so at once.
constexpr auto kAnswerPatience = std::chrono::milliseconds(500);

/// What `moddev watch` would sign with. Where signatures are asked for, what this process finds in its
/// directory is signed as that daemon would, and checked like what comes over a wire: so nothing runs without
/// a daemon that would not run with one. Errors: those of read_signing_key(), but for a key that is not
/// there.
Result<std::shared_ptr<const SigningKey>> own_signing_key() {
  const auto directory = configuration_directory();
  if (!directory) return std::shared_ptr<const SigningKey>();
  auto key = read_signing_key(signing_secret_file(*directory), ::geteuid());
  if (key) return std::shared_ptr<const SigningKey>(std::make_shared<SigningKey>(std::move(*key)));
  if (key.error().code == ErrorCode::kNotFound) return std::shared_ptr<const SigningKey>();
  return key.error();
}

}  // namespace

Result<Client> watch_in_process(const std::string& directory, StandaloneOptions options) {
  const auto here = client::Surroundings::of_this_process();
  const auto places = client::cache_directories(options.client, here);
  if (!places) return places.error();
  const auto lists =
      std::make_shared<client::BelievedLists>(options.client.signers, options.client.modules, here);
  const auto believed = lists->read();
  if (!believed) return believed.error();
  auto key = own_signing_key();
  if (!key) return key.error();
  auto daemon = standalone::InProcessDaemon::start(directory, options, *places, std::move(*key));
  if (!daemon) return daemon.error();
  auto parts = client::common_parts(options.client, *places, (*daemon)->directory() + " (in this process)");
  if (!parts) return parts.error();
  auto link = (*daemon)->connect();
  if (!link) return link.error();
  parts->link = std::move(*link);
  parts->session.trust = client::Trust(believed->signers, believed->modules);
  parts->believed = [lists] { return lists->changed(); };
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
