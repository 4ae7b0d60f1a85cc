// Standalone mode: an executor that watches a build directory itself, in its own process, when no daemon
// does. The same client with the same guarantees: finished files only, whole epochs, pins; and no sockets.
// Link moddev::standalone, which brings the daemon's core and the watcher along; moddev::client alone does
// not.
//
//   auto client = moddev::connect_or_watch("build", {});
//   if (!client) return fail(client.error().message);
//   auto score = client->function<long(long)>("scorer", "score");
//
// The history begins anew with each process (a new repo): numbers of epochs and versions count from 1. Other
// executors that watch the same directory are not in step with this one; for a fleet run `moddev watch`.
#pragma once

#include <moddev/client.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace moddev {

struct StandaloneOptions {
  /// As for Client::connect(); watch_in_process() does not look at the endpoint and its keys. Where `signers`
  /// are asked for (here, in moddev.toml, by `moddev trust`), what is found in the directory is signed with
  /// the user's own key, as `moddev watch` would, and is run only when that is one of them.
  ClientOptions client;
  /// As the flags of `moddev watch` with these names.
  std::chrono::milliseconds debounce{0};
  std::vector<std::string> ignore;
  std::map<std::string, std::vector<std::string>> dependencies;
  /// Files that were not taken, and other things that `moddev watch` would print for a person. On a thread of
  /// its own; must not throw, nor destroy the client.
  std::function<void(const std::string& message)> on_problem;
};

/// Watches `directory` in this process. Errors: kNotFound, kPermission (the directory), kIo, and those of
/// Client::connect().
[[nodiscard]] Result<Client> watch_in_process(const std::string& directory, StandaloneOptions options = {});

/// Client::connect() when a daemon answers where one is looked for, else watch_in_process(). Which of them it
/// is stays so: a daemon that is started later is not joined.
[[nodiscard]] Result<Client> connect_or_watch(const std::string& directory, StandaloneOptions options = {});

}  // namespace moddev
