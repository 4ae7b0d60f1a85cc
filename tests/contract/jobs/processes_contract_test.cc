// What every Processes must do, on the fake and on real processes; and what only real ones can show.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "tests/support/jobs/fake_processes.h"
#include "tools/supervisor/limits.h"
#include "tools/supervisor/posix_processes.h"

namespace moddev::supervisor {
namespace {

using ::testing::HasSubstr;
using Kind = ProcessEvent::Kind;

enum class Behaviour { kReady, kExitThree, kAbort, kStopping, kStubborn };

/// Processes that behave in one way, and a wait for their next event.
class World {
 public:
  virtual ~World() = default;
  virtual Processes& processes() = 0;
  /// Makes what a process of this behaviour does happen, where it does not by itself.
  virtual void act(ProcessId id) = 0;
  virtual std::optional<ProcessEvent> next() = 0;
};

class FakeWorld final : public World {
 public:
  explicit FakeWorld(Behaviour behaviour) : behaviour_(behaviour) {
    fake_.obedient = behaviour != Behaviour::kStubborn;
    fake_.ready_when_asked = false;
  }
  Processes& processes() override { return fake_; }
  void act(ProcessId id) override {
    switch (behaviour_) {
      case Behaviour::kReady:
      case Behaviour::kStubborn:
        return fake_.ready(id);
      case Behaviour::kExitThree:
        return fake_.exit(id, {3, 0});
      case Behaviour::kAbort:
        return fake_.exit(id, {0, SIGABRT});
      case Behaviour::kStopping:
        fake_.ready(id);
        return fake_.stopping(id);
    }
  }
  std::optional<ProcessEvent> next() override { return fake_.poll(); }

 private:
  Behaviour behaviour_;
  test::FakeProcesses fake_;
};

/// The next event, waited for as an event loop does; nothing after ten seconds.
std::optional<ProcessEvent> wait_for_event(Processes& processes,
                                           std::optional<ProcessId> ask = std::nullopt) {
  SystemClock clock;
  const TimePoint end = clock.now() + std::chrono::seconds(10);
  while (clock.now() < end) {
    if (ask) processes.ask_ready(*ask, clock.now());
    if (auto event = processes.poll()) return event;
    pollfd waiting{processes.descriptors().front(), POLLIN, 0};
    ::poll(&waiting, 1, ask ? 20 : 1000);
  }
  return std::nullopt;
}

std::uint16_t port_of(int listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

std::unique_ptr<PosixProcesses> make(CommandOptions options) {
  auto made = PosixProcesses::create(std::move(options));
  EXPECT_TRUE(made.ok()) << made.error().message;
  return std::move(*made);
}

class RealWorld final : public World {
 public:
  explicit RealWorld(Behaviour behaviour) {
    CommandOptions options;
    options.command = {MODDEV_TEST_WORKER};
    const auto add = [&](std::vector<std::string> more) {
      options.command.insert(options.command.end(), more.begin(), more.end());
    };
    if (behaviour == Behaviour::kReady) add({"--ready"});
    if (behaviour == Behaviour::kExitThree) add({"--exit", "3"});
    if (behaviour == Behaviour::kAbort) add({"--abort"});
    if (behaviour == Behaviour::kStopping) add({"--stopping"});
    if (behaviour == Behaviour::kStubborn) add({"--stubborn", "--ready"});
    real_ = make(std::move(options));
  }
  Processes& processes() override { return *real_; }
  void act(ProcessId) override {}
  std::optional<ProcessEvent> next() override { return wait_for_event(*real_); }

 private:
  std::unique_ptr<PosixProcesses> real_;
};

class ProcessesContract : public ::testing::TestWithParam<bool> {
 protected:
  void begin(Behaviour behaviour) {
    if (GetParam()) {
      world_ = std::make_unique<RealWorld>(behaviour);
    } else {
      world_ = std::make_unique<FakeWorld>(behaviour);
    }
  }
  StartedProcess start(unsigned worker = 0) {
    auto started = world_->processes().spawn(worker);
    EXPECT_TRUE(started.ok()) << started.error().message;
    world_->act(started->id);
    return *started;
  }
  ProcessEvent next() {
    const auto event = world_->next();
    EXPECT_TRUE(event.has_value()) << "no event came";
    return event.value_or(ProcessEvent{});
  }
  std::unique_ptr<World> world_;
};

TEST_P(ProcessesContract, ReadyThenTerminatedInGoodOrder) {
  begin(Behaviour::kReady);
  const StartedProcess one = start();
  ProcessEvent event = next();
  EXPECT_EQ(event.id, one.id);
  EXPECT_EQ(event.kind, Kind::kReady);
  world_->processes().signal(one.id, ProcessSignal::kTerminate);
  event = next();
  EXPECT_EQ(event.id, one.id);
  EXPECT_EQ(event.kind, Kind::kExited);
  EXPECT_EQ(event.exit, (ExitStatus{0, 0}));
}

TEST_P(ProcessesContract, EndTellsTheCode) {
  begin(Behaviour::kExitThree);
  const StartedProcess one = start();
  const ProcessEvent event = next();
  EXPECT_EQ(event.id, one.id);
  EXPECT_EQ(event.kind, Kind::kExited);
  EXPECT_EQ(event.exit, (ExitStatus{3, 0}));
}

TEST_P(ProcessesContract, EndTellsTheSignal) {
  begin(Behaviour::kAbort);
  start();
  EXPECT_EQ(next().exit, (ExitStatus{0, SIGABRT}));
}

TEST_P(ProcessesContract, StoppingIsHeardAfterReady) {
  begin(Behaviour::kStopping);
  start();
  EXPECT_EQ(next().kind, Kind::kReady);
  EXPECT_EQ(next().kind, Kind::kStopping);
}

TEST_P(ProcessesContract, WhoIgnoresTermIsKilled) {
  begin(Behaviour::kStubborn);
  const StartedProcess one = start();
  EXPECT_EQ(next().kind, Kind::kReady);
  world_->processes().signal(one.id, ProcessSignal::kTerminate);
  EXPECT_FALSE(world_->processes().poll().has_value());
  world_->processes().signal(one.id, ProcessSignal::kKill);
  const ProcessEvent event = next();
  EXPECT_EQ(event.kind, Kind::kExited);
  EXPECT_EQ(event.exit.signal, SIGKILL);
}

TEST_P(ProcessesContract, SignalsAndQuestionsToTheDeadDoNothing) {
  begin(Behaviour::kExitThree);
  const StartedProcess one = start();
  EXPECT_EQ(next().kind, Kind::kExited);
  world_->processes().signal(one.id, ProcessSignal::kTerminate);
  world_->processes().signal(one.id, ProcessSignal::kKill);
  world_->processes().ask_ready(one.id, {});
  EXPECT_FALSE(world_->processes().poll().has_value());
  EXPECT_FALSE(world_->processes().owner_of(one.pid).has_value());
}

TEST_P(ProcessesContract, EachHasItsOwnIdAndPid) {
  begin(Behaviour::kReady);
  const StartedProcess one = start(0);
  const StartedProcess two = start(1);
  EXPECT_NE(one.id, two.id);
  EXPECT_NE(one.pid, two.pid);
  EXPECT_EQ(world_->processes().owner_of(one.pid), one.id);
  EXPECT_EQ(world_->processes().owner_of(two.pid), two.id);
}

INSTANTIATE_TEST_SUITE_P(Fake, ProcessesContract, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Posix, ProcessesContract, ::testing::Values(true));

// ------------------------------------------------------------------------------------------ real processes
// only

class PosixProcessesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "moddev-jobs-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::string out() const { return (directory_ / "out").string(); }
  /// What the worker wrote to --out.
  [[nodiscard]] std::string said() const {
    std::ifstream stream(out());
    std::string line;
    std::getline(stream, line);
    return line;
  }
  [[nodiscard]] static int number_in(const std::string& text, const std::string& key) {
    const std::size_t at = text.find(key + "=");
    return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + key.size() + 1);
  }
  void wait_for_out() const {
    for (int i = 0; i < 1000 && !std::filesystem::exists(out()); ++i) ::usleep(10'000);
    ASSERT_TRUE(std::filesystem::exists(out()));
  }

  std::filesystem::path directory_;
};

TEST_F(PosixProcessesTest, WorkersKnowWhoTheyAre) {
  CommandOptions options;
  options.command = {MODDEV_TEST_WORKER, "--out", out(), "--ready"};
  options.environment = {"MODDEV_ENDPOINT=ipc:///somewhere"};
  auto processes = make(std::move(options));
  const auto started = processes->spawn(7);
  ASSERT_TRUE(started.ok());
  wait_for_out();
  EXPECT_THAT(said(), HasSubstr("worker=7 pid=" + std::to_string(started->pid)));
  EXPECT_THAT(said(), HasSubstr("endpoint=ipc:///somewhere listen_fds=- listen_pid=-"));
  EXPECT_THAT(said(), HasSubstr("group=" + std::to_string(started->pid)));
}

TEST_F(PosixProcessesTest, ListenersArePassedAsSystemdDoes) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(listener, 0);
  CommandOptions options;
  // The shell looks whether descriptor 3 is a socket, and execs so that LISTEN_PID stays right.
  options.command = {
      "/bin/sh", "-c",
      "readlink /proc/self/fd/3 > '" + out() + ".fd'; exec '" MODDEV_TEST_WORKER "' --out '" + out() + "'"};
  options.listeners = {listener};
  auto processes = make(std::move(options));
  const auto started = processes->spawn(0);
  ASSERT_TRUE(started.ok());
  wait_for_out();
  EXPECT_THAT(said(), HasSubstr("listen_fds=1 listen_pid=" + std::to_string(started->pid)));
  std::ifstream link(out() + ".fd");
  std::string text;
  std::getline(link, text);
  EXPECT_THAT(text, HasSubstr("socket:["));
  ::close(listener);
}

TEST_F(PosixProcessesTest, WhatIsLeftOfAGroupIsKilledWithItsLeader) {
  CommandOptions options;
  options.command = {MODDEV_TEST_WORKER, "--child", "--out", out()};
  auto processes = make(std::move(options));
  const auto started = processes->spawn(0);
  ASSERT_TRUE(started.ok());
  wait_for_out();
  const int child = number_in(said(), "child");
  ASSERT_GT(child, 0);
  EXPECT_EQ(processes->owner_of(child), started->id);
  processes->signal(started->id, ProcessSignal::kTerminate);
  const auto event = wait_for_event(*processes);
  ASSERT_TRUE(event && event->kind == Kind::kExited);
  bool gone = false;
  for (int i = 0; i < 500 && !gone; ++i) {
    std::ifstream status("/proc/" + std::to_string(child) + "/stat");
    std::string number, name, state;
    status >> number >> name >> state;
    gone = !status || state == "Z" || state == "X";  // its reaper may be slow
    if (!gone) ::usleep(10'000);
  }
  EXPECT_TRUE(gone);
}

TEST_F(PosixProcessesTest, ListeningWorkerIsReadyAlthoughAnotherListensThereToo) {
  // A port that is free: asked from the kernel.
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(probe, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  ASSERT_EQ(::listen(probe, 1), 0);
  const std::string service = std::to_string(port_of(probe));
  // The test itself listens at this port, as an old worker would; a worker that does not listen is not ready.
  CommandOptions options;
  options.command = {MODDEV_TEST_WORKER, "--ready"};
  options.ready_tcp = *parse_listen_address(service);
  auto deaf = make(options);
  const auto not_listening = deaf->spawn(0);
  ASSERT_TRUE(not_listening.ok());
  EXPECT_TRUE(listens(::getpid(), *options.ready_tcp));
  for (int i = 0; i < 10; ++i) {
    deaf->ask_ready(not_listening->id, {});
    EXPECT_FALSE(deaf->poll().has_value());
    ::usleep(10'000);
  }
  options.command = {MODDEV_TEST_WORKER, "--listen", service};
  options.ready_tcp->host = "127.0.0.1";
  auto listening = make(options);
  const auto started = listening->spawn(0);
  ASSERT_TRUE(started.ok());
  const auto event = wait_for_event(*listening, started->id);
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->kind, Kind::kReady) << describe(event->exit);
  ::close(probe);
}

TEST_F(PosixProcessesTest, CommandDecidesWhenItEndsWithZero) {
  CommandOptions options;
  options.command = {MODDEV_TEST_WORKER, "--ready", "--out", out()};
  options.ready_command = "test -e '" + out() + "' && kill -0 $MODDEV_WORKER_PID";
  auto processes = make(std::move(options));
  const auto started = processes->spawn(0);
  ASSERT_TRUE(started.ok());
  const auto event = wait_for_event(*processes, started->id);
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->kind, Kind::kReady);
  EXPECT_TRUE(std::filesystem::exists(out()));
}

TEST_F(PosixProcessesTest, CommandThatHangsIsKilledAndAskedAgain) {
  CommandOptions options;
  options.command = {MODDEV_TEST_WORKER};
  options.ready_command = "test -e '" + out() + "' || { touch '" + out() + "'; exec sleep 100; }";
  auto processes = make(std::move(options));
  const auto started = processes->spawn(0);
  ASSERT_TRUE(started.ok());
  TimePoint now{};
  processes->ask_ready(started->id, now);
  wait_for_out();
  now += limits::kProbePatience;
  std::optional<ProcessEvent> event;
  for (int i = 0; i < 500 && !event; ++i) {
    processes->ask_ready(started->id, now);  // kills it, then starts it anew
    event = processes->poll();
    ::usleep(10'000);
  }
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->kind, Kind::kReady);
}

TEST_F(PosixProcessesTest, CommandThatCannotBeExecutedIsNamed) {
  CommandOptions options;
  options.command = {"/no/such/server"};
  const auto missing = make(options)->spawn(0);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("/no/such/server"));
  options.command = {directory_.string()};
  const auto directory = make(options)->spawn(0);
  ASSERT_FALSE(directory.ok());
  EXPECT_EQ(directory.error().code, ErrorCode::kPermission);
}

TEST_F(PosixProcessesTest, NothingIsLeftBehind) {
  std::int64_t pid = 0;
  {
    CommandOptions options;
    options.command = {MODDEV_TEST_WORKER, "--stubborn"};
    auto processes = make(std::move(options));
    pid = processes->spawn(0)->pid;
    EXPECT_EQ(::kill(static_cast<pid_t>(pid), 0), 0);
  }
  EXPECT_EQ(::kill(static_cast<pid_t>(pid), 0), -1);
}

TEST(ListenAt, TellsWhenTheAddressIsTaken) {
  const auto any = listen_at({"127.0.0.1", 0});
  ASSERT_TRUE(any.ok()) << any.error().message;
  const std::uint16_t port = port_of(*any);
  const auto again = listen_at({"127.0.0.1", port});
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, ErrorCode::kConflict);
  EXPECT_THAT(again.error().message, HasSubstr(std::to_string(port)));
  ::close(*any);
}

}  // namespace
}  // namespace moddev::supervisor
