// `moddev supervise`: N workers of a server, and every change brought to them without downtime. Wiring only:
// the decisions are in tools/supervisor.
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/src/discovery.h"
#include "client/src/zmq_link.h"
#include "protocol/clock.h"
#include "protocol/descriptor.h"
#include "tools/moddev/asking.h"
#include "tools/moddev/command.h"
#include "tools/moddev/config.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/interrupt.h"
#include "tools/moddev/numbers.h"
#include "tools/moddev/places.h"
#include "tools/moddev/printer.h"
#include "tools/moddev/supervise_story.h"
#include "tools/moddev/terminal.h"
#include "tools/supervisor/fleet_follower.h"
#include "tools/supervisor/posix_processes.h"
#include "tools/supervisor/spawn.h"
#include "tools/supervisor/supervisor.h"

namespace moddev::tools {
namespace {

struct SuperviseFlags {
  std::vector<std::string> command;
  std::uint64_t workers = 0;
  std::vector<std::string> listen;
  std::string ready_tcp;
  std::string ready_command;
  double ready_timeout_s = 0;
  double drain_timeout_s = 0;
  std::vector<std::string> cycle;
  std::vector<std::string> reload;
  std::string configuration_file;
  std::string endpoint;
  bool json = false;
};

std::optional<std::chrono::milliseconds> from_seconds(double seconds) {
  if (seconds <= 0) return std::nullopt;
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

SuperviseConfiguration said_by(const SuperviseFlags& flags) {
  SuperviseConfiguration said;
  if (flags.workers > 0) said.workers = flags.workers;
  if (!flags.listen.empty()) said.listen = flags.listen;
  if (!flags.ready_tcp.empty()) said.ready_tcp = flags.ready_tcp;
  if (!flags.ready_command.empty()) said.ready_command = flags.ready_command;
  said.ready_timeout = from_seconds(flags.ready_timeout_s);
  said.drain_timeout = from_seconds(flags.drain_timeout_s);
  if (!flags.cycle.empty()) said.cycle = flags.cycle;
  if (!flags.reload.empty()) said.reload = flags.reload;
  return said;
}

Result<SuperviseConfiguration> configure(const SuperviseFlags& flags, const Places& places) {
  Configuration file;
  const std::string path = flags.configuration_file.empty()
                               ? find_configuration(places.here.working_directory, places)
                               : flags.configuration_file;
  if (!path.empty()) {
    auto read = read_configuration(path, places.here.uid);
    if (!read) return read.error();
    file = std::move(*read);
  }
  return merge(file.supervise, said_by(flags));
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// All that runs, in the order in which it is made.
struct Parts {
  client::Found found;
  std::vector<Descriptor> listeners;
  std::unique_ptr<supervisor::PosixProcesses> processes;
  std::unique_ptr<client::ZmqLink> link;
  std::unique_ptr<supervisor::FleetFollower> follower;
  std::unique_ptr<supervisor::Supervisor> supervisor;
  SuperviseFacts facts;
};

/// How workers are asked. Errors: kInvalidArgument for what cannot be meant.
Status choose_readiness(const SuperviseConfiguration& configuration,
                        const std::vector<supervisor::ListenAddress>& listening,
                        supervisor::CommandOptions& command, supervisor::Options& options) {
  if (configuration.ready_tcp && configuration.ready_command) {
    return Error{ErrorCode::kInvalidArgument,
                 "--ready-tcp and --ready-command ask the same in two ways: choose one of them."};
  }
  if (configuration.ready_command) {
    command.ready_command = *configuration.ready_command;
    options.readiness = "--ready-command " + command.ready_command;
    options.readiness_advice.clear();
  }
  if (!configuration.ready_tcp) return {};
  auto address = supervisor::parse_listen_address(*configuration.ready_tcp);
  if (!address) return address.error().with_context("--ready-tcp");
  for (const supervisor::ListenAddress& shared : listening) {
    if (shared.port != address->port) continue;
    return Error{
        ErrorCode::kInvalidArgument,
        "--ready-tcp " + address->to_string() +
            " says nothing about a worker: that socket is open from the start (--listen). Let the worker "
            "say READY=1, or ask it with --ready-command."};
  }
  options.readiness = "--ready-tcp " + address->to_string();
  options.readiness_advice.clear();
  command.ready_tcp = std::move(*address);
  return {};
}

Status open_listeners(const std::vector<std::string>& texts, Parts& parts,
                      std::vector<supervisor::ListenAddress>& addresses) {
  if (texts.size() > supervisor::limits::kListeners) {
    return Error{ErrorCode::kInvalidArgument,
                 "At most " + std::to_string(supervisor::limits::kListeners) + " --listen (kListeners)."};
  }
  for (const std::string& text : texts) {
    auto address = supervisor::parse_listen_address(text);
    if (!address) return address.error().with_context("--listen");
    addresses.push_back(*address);
    parts.facts.listeners.push_back(address->to_string());
  }
  for (const supervisor::ListenAddress& address : addresses) {
    const auto listener = supervisor::listen_at(address);
    if (!listener) return listener.error();
    parts.listeners.emplace_back(*listener);
  }
  return {};
}

Result<std::unique_ptr<Parts>> assemble(const SuperviseFlags& flags) {
  const Places places = Places::of_this_process();
  auto configuration = configure(flags, places);
  if (!configuration) return configuration.error();
  auto parts = std::make_unique<Parts>();
  auto found = client::discover_endpoint(flags.endpoint, places.here);
  if (!found) return found.error();
  parts->found = std::move(*found);

  supervisor::Options options;
  options.workers = static_cast<unsigned>(configuration->workers.value_or(1));
  if (configuration->workers.value_or(1) > supervisor::limits::kWorkers) {
    return Error{ErrorCode::kInvalidArgument,
                 "At most " + std::to_string(supervisor::limits::kWorkers) + " workers (kWorkers)."};
  }
  options.ready_patience = configuration->ready_timeout.value_or(supervisor::limits::kReadyPatience);
  options.drain_patience = configuration->drain_timeout.value_or(supervisor::limits::kDrainPatience);
  options.rules.cycle = configuration->cycle.value_or(std::vector<std::string>{});
  options.rules.reload = configuration->reload.value_or(std::vector<std::string>{});

  supervisor::CommandOptions command;
  command.command = flags.command;
  command.environment = {"MODDEV_ENDPOINT=" + parts->found.endpoint};
  command.output_to_stderr = flags.json;
  std::vector<supervisor::ListenAddress> listening;
  MODDEV_TRY(open_listeners(configuration->listen.value_or(std::vector<std::string>{}), *parts, listening));
  MODDEV_TRY(choose_readiness(*configuration, listening, command, options));
  for (const Descriptor& listener : parts->listeners) command.listeners.push_back(listener.get());
  auto processes = supervisor::PosixProcesses::create(std::move(command));
  if (!processes) return processes.error();
  parts->processes = std::move(*processes);

  auto keys = client::discover_keys("", {}, client::Surroundings::of_this_process());
  if (!keys) return keys.error();
  auto link = client::ZmqLink::connect(parts->found.endpoint, std::move(*keys));
  if (!link) return link.error();
  parts->link = std::move(*link);
  parts->follower = std::make_unique<supervisor::FleetFollower>(
      supervisor::FollowerOptions{"moddev " MODDEV_VERSION, host_name()}, *parts->link);
  parts->facts.command = flags.command;
  parts->facts.workers = options.workers;
  parts->facts.pid = ::getpid();
  parts->facts.endpoint = parts->found.endpoint;
  parts->facts.readiness = options.readiness;
  parts->supervisor = std::make_unique<supervisor::Supervisor>(std::move(options), *parts->processes);
  return parts;
}

class SuperviseTeller {
 public:
  explicit SuperviseTeller(bool json)
      : json_(json),
        palette_(Palette::for_descriptor(STDOUT_FILENO)),
        printer_(
            [](const std::string& text) { return write_output(text, "; the supervisor goes on without it"); },
            [](std::uint64_t count) {
              mention(counted(count, "line") + " missing: nobody read in time.");
              return std::string();
            }) {}
  template <typename Happened>
  void happened(const Happened& what) {
    printer_.print(json_ ? json_line(what) : tell(palette_, clock_.wall_now(), what));
  }

 private:
  bool json_;
  Palette palette_;
  SystemClock clock_;
  LinePrinter printer_;
};

/// Says once when there is no daemon to follow, and once when there is one again.
class DaemonWatch {
 public:
  void look(const Parts& parts, TimePoint now) {
    if (since_ == kNever) since_ = now;
    const bool there = parts.follower->connected();
    if (there && missing_) {
      missing_ = false;
      mention("The daemon at " + parts.found.endpoint + " answers: changes are followed.");
    }
    if (there) since_ = now;
    if (there || missing_ || now - since_ < kPatience) return;
    missing_ = true;
    std::string why = parts.follower->problem();
    if (const auto& trouble = parts.link->problem()) why = trouble->message;
    mention("No daemon answers at " + parts.found.endpoint + (why.empty() ? "" : " (" + why + ")") +
            ": the workers run, and changes are followed as soon as there is one (`moddev watch DIR`).");
  }
  [[nodiscard]] TimePoint due() const { return missing_ || since_ == kNever ? kNever : since_ + kPatience; }

 private:
  static constexpr auto kPatience = std::chrono::seconds(2);
  TimePoint since_ = kNever;
  bool missing_ = false;
};

void wait_for_something(const Parts& parts, const Interrupt& interrupt, Duration patience) {
  std::vector<pollfd> waiting{{interrupt.descriptor(), POLLIN, 0}};
  for (const int descriptor : parts.processes->descriptors()) waiting.push_back({descriptor, POLLIN, 0});
  for (const int descriptor : parts.link->descriptors()) waiting.push_back({descriptor, POLLIN, 0});
  const timespec timeout{patience.count() / 1'000'000'000, patience.count() % 1'000'000'000};
  ::ppoll(waiting.data(), waiting.size(), &timeout, nullptr);
}

/// The signals that came since the last call.
unsigned take_signals(const Interrupt& interrupt) {
  unsigned count = 0;
  signalfd_siginfo info{};
  while (::read(interrupt.descriptor(), &info, sizeof info) > 0) ++count;
  return count;
}

int run(Parts& parts, const Interrupt& interrupt, SuperviseTeller& teller) {
  constexpr Duration kLongestWait = std::chrono::hours(1);
  SystemClock clock;
  DaemonWatch daemon;
  for (;;) {
    const TimePoint now = clock.now();
    for (unsigned i = take_signals(interrupt); i > 0; --i) parts.supervisor->stop();
    TimePoint due = parts.follower->step(now);
    while (auto picture = parts.follower->take_picture()) parts.supervisor->on_fleet(std::move(*picture));
    due = std::min(due, parts.supervisor->step(now));
    for (const auto& event : parts.supervisor->take_events()) teller.happened(event);
    if (const Error* error = parts.supervisor->start_error()) return failed(*error);
    if (parts.supervisor->stopped()) return kDone;
    daemon.look(parts, now);
    due = std::min({due, daemon.due(), now + kLongestWait});
    const TimePoint after = clock.now();
    if (due > after) wait_for_something(parts, interrupt, due - after);
  }
}

int run_supervise(const SuperviseFlags& flags) {
  auto interrupt = Interrupt::create();
  if (!interrupt) return failed(interrupt.error());
  auto parts = assemble(flags);
  if (!parts) return failed(parts.error());
  SuperviseTeller teller(flags.json);
  teller.happened((*parts)->facts);
  return run(**parts, **interrupt, teller);
}

}  // namespace

void add_supervise(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<SuperviseFlags>();
  CLI::App* command = program.add_subcommand(
      "supervise", "Run the workers of a server, and bring changes to them without downtime");
  command
      ->add_option("COMMAND", flags->command,
                   "The server: moddev supervise --workers 4 --listen 80 -- ./server")
      ->required()
      ->type_name("");
  command->add_option("--workers", flags->workers, "How many processes [1]")
      ->type_name("N")
      ->transform(whole_number(1, supervisor::limits::kWorkers));
  command
      ->add_option(
          "--listen", flags->listen,
          "Open this TCP socket and pass it to all workers as systemd does (LISTEN_FDS): no connection is "
          "lost when one ends (repeatable)")
      ->type_name("[HOST:]PORT")
      ->allow_extra_args(false);
  command
      ->add_option("--ready-tcp", flags->ready_tcp,
                   "A worker is ready when it listens there itself [it says READY=1 on NOTIFY_SOCKET]")
      ->type_name("[HOST:]PORT");
  command
      ->add_option("--ready-command", flags->ready_command,
                   "A worker is ready when this shell command ends with 0; MODDEV_WORKER_PID says which")
      ->type_name("SH");
  command
      ->add_option("--ready-timeout", flags->ready_timeout_s, "A new worker has so long to become ready [30]")
      ->type_name("SECONDS")
      ->transform(seconds(0.001, 86'400));
  command
      ->add_option("--drain-timeout", flags->drain_timeout_s,
                   "A worker has so long to finish after SIGTERM, then it is killed [30]")
      ->type_name("SECONDS")
      ->transform(seconds(0.001, 86'400));
  command
      ->add_option(
          "--cycle", flags->cycle,
          "Modules whose change needs new processes, like 'core*' (repeatable) [all, for workers that do "
          "not embed the client]")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  command
      ->add_option("--reload", flags->reload, "Modules whose change never needs new processes (repeatable)")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  command
      ->add_option("--config", flags->configuration_file,
                   "This file instead of the moddev.toml found upwards")
      ->type_name("FILE");
  command->add_flag("--json", flags->json, "One JSON object a line; what workers print goes to stderr");
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  // tests/e2e/jobs/supervise_test.py runs it as it stands here.
  command->footer(
      "Example, a server that says nothing and takes its connections from descriptor 3:\n"
      "  moddev supervise --workers 2 --listen 8000 --ready-command true -- python3 -c "
      "'import http.server as h, socket; s = h.HTTPServer((\"\", 0), h.SimpleHTTPRequestHandler, False); "
      "s.socket = socket.socket(fileno=3); s.serve_forever()'");
  command->callback([flags, &chosen] { chosen = [flags] { return run_supervise(*flags); }; });
}

}  // namespace moddev::tools
