// `moddev watch DIR`: the daemon in the foreground, and what it does as lines for a person or a script.
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "client/src/discovery.h"
#include "daemon/daemon.h"
#include "daemon/encoder.h"
#include "daemon/event_loop.h"
#include "daemon/journal.h"
#include "daemon/local_process.h"
#include "daemon/policy.h"
#include "daemon/zmq_transport.h"
#include "protocol/blob_store.h"
#include "protocol/endpoint.h"
#include "protocol/private_file.h"
#include "protocol/signing_key.h"
#include "protocol/transport_key.h"
#include "protocol/trust.h"
#include "tools/moddev/command.h"
#include "tools/moddev/config.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/json.h"
#include "tools/moddev/numbers.h"
#include "tools/moddev/places.h"
#include "tools/moddev/printer.h"
#include "tools/moddev/story.h"
#include "tools/moddev/terminal.h"
#include "watcher/backend.h"
#include "watcher/posix_file_system.h"
#include "watcher/proof_memory.h"
#include "watcher/watcher.h"

namespace moddev::tools {
namespace {

struct WatchFlags {
  std::string directory;
  std::string configuration_file;
  std::vector<std::string> bind;
  std::string endpoint;
  std::int64_t debounce_ms = -1;
  std::vector<std::string> ignore;
  bool follow_outside = false;
  bool follow_said = false;
  std::string backend;
  bool poll = false;
  std::vector<std::string> dependencies;
  std::string sync;
  std::vector<std::string> canary;
  double canary_time_s = 0;
  bool json = false;
};

Result<Configuration> said_by(const WatchFlags& flags) {
  Configuration said;
  if (!flags.bind.empty()) said.bind = flags.bind;
  if (!flags.endpoint.empty()) said.endpoint = flags.endpoint;
  if (flags.debounce_ms >= 0) said.debounce = std::chrono::milliseconds(flags.debounce_ms);
  if (!flags.ignore.empty()) said.ignore = flags.ignore;
  if (flags.follow_said) said.follow_outside = flags.follow_outside;
  if (!flags.backend.empty()) said.backend = flags.backend;
  if (flags.poll) said.backend = "polling";
  if (!flags.sync.empty()) said.sync = flags.sync;
  if (!flags.canary.empty()) said.canary = flags.canary;
  if (flags.canary_time_s > 0) {
    said.canary_time = std::chrono::milliseconds(static_cast<std::int64_t>(flags.canary_time_s * 1000));
  }
  for (const std::string& text : flags.dependencies) MODDEV_TRY(add_dependency(text, said));
  return said;
}

/// Everything that a running daemon is made of, in the order in which it is made.
struct Parts {
  std::unique_ptr<watcher::PosixFileSystem> files;
  std::string real_path;
  std::string proofs;  // the file with what was proven by the former run
  Configuration configuration;
  daemon::FleetOptions fleet;
  daemon::AccessRules access;
  std::unique_ptr<daemon::EventLoop> loop;
  std::unique_ptr<daemon::ZmqTransport> transport;
  std::unique_ptr<DirectoryBlobStore> blobs;
  std::unique_ptr<daemon::Journal> journal;
  std::shared_ptr<const SigningKey> signing_key;  // null: nothing is signed
  watcher::Backend backend;
  std::unique_ptr<watcher::Watcher> watcher;
  std::unique_ptr<daemon::Daemon> daemon;
};

/// A wrong directory is no wrong usage: the same words are right when it is there.
Error about_directory(const Error& error) {
  return {ErrorCode::kIo,
          error.message + ". Name a directory that you can read, usually the one that your build writes to.",
          error.sys_errno};
}

Status find_directory(const WatchFlags& flags, Parts& parts) {
  auto files = watcher::PosixFileSystem::create(flags.directory);
  if (!files) return about_directory(files.error());
  parts.files = std::move(*files);
  std::error_code error;
  parts.real_path = std::filesystem::canonical(parts.files->root(), error).string();
  if (error) return about_directory(errno_error("cannot watch '" + parts.files->root() + "'", error.value()));
  return {};
}

/// Returns where to serve.
Result<std::vector<std::string>> configure(const WatchFlags& flags, const Places& places, Parts& parts) {
  auto said = said_by(flags);
  if (!said) return said.error();
  Configuration file;
  const std::string path = flags.configuration_file.empty() ? find_configuration(parts.real_path, places)
                                                            : flags.configuration_file;
  if (!path.empty()) {
    auto read = read_configuration(path, places.here.uid);
    if (!read) return read.error();
    file = std::move(*read);
  }
  parts.configuration = merge(file, *said);
  return endpoints_to_bind(*said, file, places.here);
}

Status choose_policy(Parts& parts) {
  const Configuration& said = parts.configuration;
  if (said.sync) {
    const auto sync = daemon::sync_policy_from_string(*said.sync);
    if (!sync) {
      return Error{ErrorCode::kInvalidArgument, "There is no way to switch named '" + *said.sync +
                                                    "'; --sync takes all, majority or none."};
    }
    parts.fleet.sync = *sync;
  }
  for (const std::string& text : said.canary.value_or(std::vector<std::string>{})) {
    MODDEV_TRY(daemon::add_canary(text, parts.fleet.canaries));
  }
  if (said.canary_time) parts.fleet.canary_time = *said.canary_time;
  parts.fleet.still_there = daemon::is_running_here;
  return {};
}

Status open_state(const Places& places, WallTime now, Parts& parts) {
  const auto state = state_directory(places, parts.real_path);
  if (!state) return state.error();
  MODDEV_TRY(make_state_directory(*state));
  parts.proofs = *state + "/proofs";
  auto journal = daemon::Journal::open(*state + "/journal.sqlite", now);
  if (!journal) return journal.error().with_context("Cannot watch " + parts.files->root());
  parts.journal = std::move(*journal);
  auto blobs = DirectoryBlobStore::open(*state + "/blobs");
  if (!blobs) return blobs.error();
  parts.blobs = std::move(*blobs);
  return {};
}

/// A signing key is used when the user has one. One that others could have read is an error: it must not be
/// taken for none.
Status find_signing_key(Parts& parts) {
  const auto directory = configuration_directory();
  if (!directory) return {};
  auto key = read_signing_key(signing_secret_file(*directory), ::geteuid());
  if (key) {
    parts.signing_key = std::make_shared<const SigningKey>(std::move(*key));
    return {};
  }
  return key.error().code == ErrorCode::kNotFound ? Status{} : Status(key.error());
}

Status make_watcher(const Places& places, Parts& parts) {
  auto backend = watcher::choose_backend(parts.configuration.backend.value_or("auto"), *parts.files);
  if (!backend) return backend.error();
  parts.backend = std::move(*backend);

  watcher::WatcherOptions options;
  options.debounce = parts.configuration.debounce.value_or(std::chrono::milliseconds(0));
  options.ignore = parts.configuration.ignore.value_or(std::vector<std::string>{});
  options.follow_outside = parts.configuration.follow_outside.value_or(false);
  std::vector<std::string> own;
  if (auto state = state_root(places)) own.push_back(*state);
  if (auto cache = client::default_cache_directory(places.here)) own.push_back(*cache);
  for (std::string& pattern : patterns_for_own(parts.real_path, own))
    options.ignore.push_back(std::move(pattern));
  parts.watcher = std::make_unique<watcher::Watcher>(std::move(options), *parts.files, *parts.backend.events,
                                                     *parts.blobs);
  if (parts.files->events_are_reliable())
    parts.watcher->trust(watcher::read_proofs(parts.proofs, daemon::current_boot_id()));
  return {};
}

void make_daemon(Parts& parts) {
  daemon::DaemonOptions options;
  options.directory = parts.files->root();
  options.software = "moddev " MODDEV_VERSION;
  options.pid = ::getpid();
  options.host = daemon::this_host();
  options.fleet = parts.fleet;
  options.access = parts.access;
  options.catalog.extra_dependencies = parts.configuration.dependencies;
  const RetentionConfiguration& kept = parts.configuration.retention;
  if (kept.epochs) options.retention.epochs = *kept.epochs;
  if (kept.megabytes) options.retention.bytes = *kept.megabytes * 1'000'000;
  options.signing_key = parts.signing_key;
  options.encoder = daemon::make_encoder_thread(*parts.blobs);
  parts.daemon = std::make_unique<daemon::Daemon>(std::move(options), *parts.watcher, *parts.blobs,
                                                  *parts.journal, *parts.transport);
}

Result<daemon::AccessRules> access_rules(const Configuration& said) {
  std::vector<daemon::AccessRule> rules;
  for (const AccessConfiguration& one : said.access.value_or(std::vector<AccessConfiguration>{})) {
    daemon::AccessRule rule{one.who, {}, one.modules, one.place};
    for (const std::string& text : one.may) {
      const auto right = daemon::right_from_string(text);
      if (!right) {
        return Error{ErrorCode::kInvalidArgument,
                     one.place + ": there is no right '" + text +
                         "'; an [[access]] takes status, fetch, run, publish and rollback.",
                     0};
      }
      rule.may.push_back(*right);
    }
    rules.push_back(std::move(rule));
  }
  return daemon::AccessRules(std::move(rules));
}

/// What the person who wrote the rules may want to know. A list that cannot be read is told of elsewhere.
std::vector<std::string> doubts_about(const daemon::AccessRules& rules) {
  const auto directory = configuration_directory();
  const auto list = directory ? TrustList::read(trust_file(*directory), ::geteuid()) : TrustList{};
  if (!list) return {};
  std::vector<std::string> names;
  for (const Trusted& entry : list->entries())
    if (entry.kind == TrustKind::kClient) names.push_back(entry.name);
  return rules.doubts(names);
}

/// With this user's key where other machines may come, if there is one: what is missing, bind() says.
Result<daemon::TransportOptions> transport_options(std::vector<std::string> endpoints,
                                                   const daemon::AccessRules& rules) {
  daemon::TransportOptions options;
  options.may_hear_all = [rules](const daemon::Caller& caller) { return rules.may_know_all(caller); };
  options.endpoints = std::move(endpoints);
  const bool others = std::any_of(options.endpoints.begin(), options.endpoints.end(), [](const auto& text) {
    const auto endpoint = parse_endpoint(text);
    return endpoint && !endpoint->is_local();
  });
  if (!others) return options;
  const auto directory = configuration_directory();
  if (!directory) return directory.error();
  options.trust_file = trust_file(*directory);
  auto keys = read_transport_keys(transport_secret_file(*directory), ::geteuid());
  if (keys) {
    options.keys = std::move(*keys);
  } else if (keys.error().code != ErrorCode::kNotFound) {
    return keys.error();
  }
  return options;
}

Result<Parts> assemble(const WatchFlags& flags, SystemClock& clock) {
  const Places places = Places::of_this_process();
  Parts parts;
  MODDEV_TRY(find_directory(flags, parts));
  auto endpoints = configure(flags, places, parts);
  if (!endpoints) return endpoints.error();
  MODDEV_TRY(choose_policy(parts));
  MODDEV_TRY(find_signing_key(parts));
  // The loop blocks signals, which threads inherit; the sockets bring the first thread, and change the umask.
  auto loop = daemon::EventLoop::create({.signals = true}, clock);
  if (!loop) return loop.error();
  parts.loop = std::move(*loop);
  auto rules = access_rules(parts.configuration);
  if (!rules) return rules.error();
  parts.access = std::move(*rules);
  auto doors = transport_options(std::move(*endpoints), parts.access);
  if (!doors) return doors.error();
  auto transport = daemon::ZmqTransport::open(*doors);
  if (!transport) return transport.error();
  parts.transport = std::move(*transport);
  MODDEV_TRY(open_state(places, clock.wall_now(), parts));
  MODDEV_TRY(make_watcher(places, parts));
  make_daemon(parts);
  return parts;
}

/// Where the lines go.
class Teller {
 public:
  Teller(bool json, const Manifest& committed)
      : json_(json),
        story_(Palette::for_descriptor(STDOUT_FILENO), committed),
        printer_(
            [](const std::string& text) { return write_output(text, "; the daemon goes on without it"); },
            [json](std::uint64_t count) { return missing(json, count); }) {}

  void listening(const ListeningFacts& facts) {
    if (json_) return printer_.print(json_line(facts));
    for (std::string& line : story_.tell(facts, clock_.wall_now())) printer_.print(std::move(line));
  }
  void happened(const daemon::DaemonEvent& event) {
    if (!json_) {
      for (std::string& line : story_.tell(event, clock_.wall_now())) printer_.print(std::move(line));
    } else if (std::string line = json_line(event); !line.empty()) {
      printer_.print(std::move(line));
    }
  }

 private:
  /// Holds nothing of ours: the printer's thread can outlive us when it is stuck in a write.
  [[nodiscard]] static std::string missing(bool json, std::uint64_t count) {
    const daemon::WarningEvent warning{"output_dropped",
                                       counted(count, "line") + " missing here: nobody read in time."};
    return json ? json_line(daemon::DaemonEvent(warning)) : warning.message;
  }

  bool json_;
  SystemClock clock_;
  WatchStory story_;
  LinePrinter printer_;
};

/// Every executor is two connections, and the usual 1024 descriptors are soon gone: ZeroMQ then ends the
/// program (libzmq 4.3.4, src/ipc_listener.cpp asserts on EMFILE). Who may have more has more.
void allow_many_connections() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max) return;
  files.rlim_cur = files.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &files);
}

/// Memory that was freed serves the next piece of a blob: to get it from the kernel anew each time costs more
/// than reading and sending the piece (mallopt(3); setting either ends the automatic adjustment).
void keep_freed_memory() {
  constexpr int kKept = 16 * 1024 * 1024;
  ::mallopt(M_MMAP_THRESHOLD, kKept);
  ::mallopt(M_TRIM_THRESHOLD, kKept);
}

int run_watch(const WatchFlags& flags) {
  allow_many_connections();
  keep_freed_memory();
  SystemClock clock;
  auto parts = assemble(flags, clock);
  if (!parts) return failed(parts.error());
  Teller teller(flags.json, parts->journal->committed());
  for (const std::string& endpoint : parts->transport->endpoints()) {
    teller.listening({endpoint, parts->journal->id(), ::getpid(), parts->files->root(),
                      parts->watcher->backend(),
                      parts->signing_key ? parts->signing_key->public_key().to_string() : ""});
  }
  for (const watcher::Warning& warning : parts->backend.warnings) {
    teller.happened(daemon::WarningEvent{warning.code, warning.message});
  }
  for (std::string& doubt : doubts_about(parts->access))
    teller.happened(daemon::WarningEvent{"access_rule", std::move(doubt)});
  parts->loop->run(*parts->daemon, [&](const daemon::DaemonEvent& event) { teller.happened(event); });
  // Only for the sake of speed: without it the next run reads every file once more.
  // One that ends in the middle of its work knows less than the former one.
  if (parts->watcher->idle())
    (void)watcher::write_proofs(parts->proofs, daemon::current_boot_id(), parts->watcher->proven());
  return kDone;
}

}  // namespace

void add_watch(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<WatchFlags>();
  CLI::App* command =
      program.add_subcommand("watch", "Watch a build directory and bring every change to all executors");
  command->add_option("DIR", flags->directory, "The directory that the build writes to")
      ->required()
      ->type_name("");
  command
      ->add_option("--bind", flags->bind,
                   "Serve at this endpoint, ipc:///path or tcp://host:port (repeatable)")
      ->type_name("ENDPOINT")
      ->allow_extra_args(false);
  command
      ->add_option("--endpoint", flags->endpoint,
                   "Serve where clients with this endpoint look; --bind goes before it")
      ->type_name("ENDPOINT");
  command
      ->add_option("--debounce", flags->debounce_ms,
                   "Wait for so much quiet on a file, although it is proven finished [0]")
      ->type_name("MS")
      ->transform(whole_number(0, 60'000));
  command->add_option("--ignore", flags->ignore, "Paths to pass over, in gitignore syntax (repeatable)")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  CLI::Option* follow = command->add_flag("--follow-outside,!--no-follow-outside", flags->follow_outside,
                                          "Follow symlinks that lead out of DIR");
  command->add_option("--backend", flags->backend, "auto, inotify or polling [auto]")->type_name("NAME");
  command->add_flag("--poll", flags->poll, "The same as --backend polling");
  command
      ->add_option("--dependencies", flags->dependencies,
                   "MODULE needs others that its file does not tell (repeatable)")
      ->type_name("MODULE=NEEDED,...")
      ->allow_extra_args(false);
  command
      ->add_option("--sync", flags->sync,
                   "Who has to be ready before anyone switches: all, majority or none [all]")
      ->type_name("WHO");
  command
      ->add_option("--canary", flags->canary,
                   "So many executors, or the one of this name, switch first (repeatable)")
      ->type_name("N|NAME")
      ->allow_extra_args(false);
  command
      ->add_option("--canary-time", flags->canary_time_s,
                   "The others follow when the canaries have lived with it for so long [10]")
      ->type_name("SECONDS")
      ->transform(seconds(0.001, 86'400));
  command
      ->add_option("--config", flags->configuration_file,
                   "This file instead of the moddev.toml found upwards from DIR")
      ->type_name("FILE");
  command->add_flag("--json", flags->json, "One JSON object a line");
  command->callback([flags, follow, &chosen] {
    flags->follow_said = follow->count() > 0;
    chosen = [flags] { return run_watch(*flags); };
  });
}

}  // namespace moddev::tools
