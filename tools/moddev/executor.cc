// `moddev executor`: a ready executor over moddev::client, to try things and to smoke-test a fleet.
#include <moddev/client.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "client/src/loader_thread.h"
#include "protocol/clock.h"
#include "tools/moddev/asking.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/interrupt.h"
#include "tools/moddev/json.h"
#include "tools/moddev/numbers.h"
#include "tools/moddev/printer.h"
#include "tools/moddev/story.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

struct ExecutorFlags {
  std::string name;
  std::string call;
  std::int64_t every_ms = 1000;
  bool json = false;
  std::string endpoint;
  std::string key;
  std::vector<std::string> daemon_keys;
  std::vector<std::string> signers;
  std::vector<std::string> modules;
};

struct Target {
  std::string module;
  std::string symbol;
};

Result<Target> parse_target(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) {
    return Error{ErrorCode::kInvalidArgument,
                 "--call must be MODULE:SYMBOL, like scorer:score, not '" + text + "'."};
  }
  return Target{text.substr(0, colon), text.substr(colon + 1)};
}

/// Wakes the caller. Outlives us when the printer's thread is stuck in a write.
struct Bell {
  explicit Bell(int event) : descriptor(event) {}
  ~Bell() { ::close(descriptor); }
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;
  void ring() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(descriptor, &one, sizeof one);
  }
  void silence() const {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(descriptor, &count, sizeof count);
  }

  const int descriptor;             // an eventfd
  std::atomic<bool> unread{false};  // nobody can read what we print any more
};

/// Lines of what happens, and a bell for the caller. Told from the client's thread and from ours.
class ExecutorTeller {
 public:
  static Result<std::unique_ptr<ExecutorTeller>> create(bool json, const std::string& name) {
    const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0) return errno_error("Cannot make an eventfd", errno);
    return std::unique_ptr<ExecutorTeller>(new ExecutorTeller(json, name, std::make_shared<Bell>(event)));
  }

  void happened(const ClientEvent& event, const std::string& id) {
    print(json_ ? json_line(event, id) : story_.tell(event, clock_.wall_now()));
    using Kind = ClientEvent::Kind;
    if (event.kind == Kind::kApplied || event.kind == Kind::kJoined) bell_->ring();
  }
  void called(const Call& call) { print(json_ ? json_line(call) : story_.tell(call, clock_.wall_now())); }

  /// Rings when another epoch is live, and when the output got lost.
  [[nodiscard]] const Bell& bell() const { return *bell_; }

 private:
  ExecutorTeller(bool json, const std::string& name, const std::shared_ptr<Bell>& bell)
      : json_(json),
        story_(Palette::for_descriptor(STDOUT_FILENO), name),
        bell_(bell),
        printer_(
            [bell](const std::string& text) {
              const bool written = write_output(text, "");
              if (!written) bell->unread = true;
              if (!written) bell->ring();
              return written;
            },
            [](std::uint64_t count) {
              mention(counted(count, "line") + " missing: nobody read in time.");
              return std::string();
            }) {}
  void print(std::string line) {
    if (!line.empty()) printer_.print(std::move(line));
  }

  bool json_;
  SystemClock clock_;
  ExecutorStory story_;
  std::shared_ptr<Bell> bell_;
  LinePrinter printer_;
};

/// Calls the symbol on the epoch that is live, and says what is in the way when that is something new.
class Caller {
 public:
  Caller(Target target, const Client& client, ExecutorTeller& teller)
      : target_(std::move(target)), client_(client), teller_(teller) {}

  void call() {
    const Pin pin = client_.pin();
    if (!pin) return;  // before the first epoch there is nothing to miss
    const auto function = pin.function<std::int64_t()>(target_.module, target_.symbol);
    if (!function) return in_the_way(function.error().message, pin.epoch());
    try {
      const std::int64_t result = (*function)();
      const TimePoint at = clock_.now();
      problem_.clear();
      teller_.called({target_.module, target_.symbol, pin.epoch(), result, at});
    } catch (const std::exception& thrown) {
      in_the_way(std::string("it threw: ") + thrown.what(), pin.epoch());
    } catch (...) {
      in_the_way("it threw something that is no std::exception", pin.epoch());
    }
  }

 private:
  void in_the_way(const std::string& problem, Epoch epoch) {
    if (problem == problem_) return;
    problem_ = problem;
    mention("Cannot call " + target_.module + ":" + target_.symbol + " in epoch " + std::to_string(epoch) +
            ": " + problem);
  }

  Target target_;
  const Client& client_;
  ExecutorTeller& teller_;
  SystemClock clock_;
  std::string problem_;
};

/// Until a signal comes, or nobody can read the output: a call at each bell and after each `every`. Returns
/// the exit code.
int call_until_ended(Caller* caller, const Bell& bell, const Interrupt& interrupt, Duration every) {
  SystemClock clock;
  TimePoint due = caller == nullptr ? kNever : clock.now();
  for (;;) {
    if (clock.now() >= due) {
      caller->call();
      due = std::max(due + every, clock.now());
    }
    std::array<pollfd, 2> polled{pollfd{interrupt.descriptor(), POLLIN, 0},
                                 pollfd{bell.descriptor, POLLIN, 0}};
    timespec timeout{};
    const timespec* limit = nullptr;
    if (due != kNever) {
      const Duration left = std::max(due - clock.now(), Duration::zero());
      timeout = {left.count() / 1'000'000'000, left.count() % 1'000'000'000};
      limit = &timeout;
    }
    if (::ppoll(polled.data(), polled.size(), limit, nullptr) <= 0) continue;
    if (polled[0].revents != 0) return kDone;
    bell.silence();
    if (bell.unread) return kFailed;
    if (caller != nullptr) due = clock.now();
  }
}

int run_until_ended(const ExecutorFlags& flags) {
  Target target;
  if (!flags.call.empty()) {
    auto parsed = parse_target(flags.call);
    if (!parsed) return failed(parsed.error());
    target = std::move(*parsed);
  }
  auto interrupt = Interrupt::create();
  if (!interrupt) return failed(interrupt.error());
  const std::string name = flags.name.empty() ? "executor-" + std::to_string(::getpid()) : flags.name;
  auto teller = ExecutorTeller::create(flags.json, name);
  if (!teller) return failed(teller.error());

  ClientOptions options;
  options.name = name;
  options.endpoint = flags.endpoint;
  options.key = flags.key;
  options.daemon_keys = flags.daemon_keys;
  options.signers = flags.signers;
  options.modules = flags.modules;
  // The id is known when connect() has returned, and the first event can be earlier than that.
  struct Identity {
    std::mutex mutex;
    std::condition_variable known;
    std::string id;
  };
  const auto identity = std::make_shared<Identity>();
  options.on_event = [&tell = **teller, identity](const ClientEvent& event) {
    std::unique_lock lock(identity->mutex);
    identity->known.wait(lock, [&] { return !identity->id.empty(); });
    tell.happened(event, identity->id);
  };
  auto client = Client::connect(std::move(options));
  {
    const std::lock_guard lock(identity->mutex);
    identity->id = client ? client->id() : "-";
  }
  identity->known.notify_all();
  if (!client) return failed(client.error());

  Caller caller(target, *client, **teller);
  return call_until_ended(flags.call.empty() ? nullptr : &caller, (*teller)->bell(), **interrupt,
                          std::chrono::milliseconds(flags.every_ms));
}

int run_executor(const ExecutorFlags& flags) {
  const int code = run_until_ended(flags);
  if (loaders_left_behind() == 0) return code;
  // What hangs in an initialiser has the dynamic loader's lock, which exit() wants.
  mention(
      "Code of a module (an initialiser, a hook or a destructor) did not return; the process ends without "
      "it.");
  ::_exit(code);
}

}  // namespace

void add_executor(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<ExecutorFlags>();
  CLI::App* command =
      program.add_subcommand("executor", "Run a ready executor: load every epoch, call a function");
  command->add_option("--name", flags->name, "How people see it in `moddev status` [executor-PID]")
      ->type_name("NAME");
  command
      ->add_option("--call", flags->call,
                   "Call this extern \"C\" int64_t SYMBOL(void), at once in each new epoch")
      ->type_name("MODULE:SYMBOL");
  command->add_option("--every", flags->every_ms, "and again after so long [1000]")
      ->type_name("MS")
      ->transform(whole_number(1, 86'400'000));
  command
      ->add_option(
          "--signers", flags->signers,
          "Run only what is signed with this key, ed25519:... [those of `moddev trust`] (repeatable)")
      ->type_name("KEY")
      ->allow_extra_args(false);
  command
      ->add_option("--modules", flags->modules,
                   "Load only modules whose names fit, refuse epochs with others [*] (repeatable)")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  command
      ->add_option("--key", flags->key,
                   "The secret file of its transport key [MODDEV_KEY, moddev.toml, that of `moddev keygen`]")
      ->type_name("FILE");
  command
      ->add_option(
          "--daemon-keys", flags->daemon_keys,
          "A transport key that the daemon may prove to have [MODDEV_DAEMON_KEY, moddev.toml, `moddev "
          "trust`] (repeatable)")
      ->type_name("KEY")
      ->allow_extra_args(false);
  command->add_flag("--json", flags->json, "One JSON object a line");
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([flags, &chosen] { chosen = [flags] { return run_executor(*flags); }; });
}

}  // namespace moddev::tools
