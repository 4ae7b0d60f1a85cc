// moddev's client library: an executor's way to always run the newest committed code. This header and view.h
// are the whole C++ interface; c_api.h is the same for other languages, standalone.h needs no daemon.
//
// clang-format off
// [example] compiled and run by the tests as it stands here
//   #include <moddev/client.h>
//   #include <cstdio>
//
//   int main() {
//     auto client = moddev::Client::connect({.name = "worker-1"});  // finds the daemon of `moddev watch` by itself
//     if (!client) return std::fprintf(stderr, "%s\n", client.error().message.c_str()), 1;
//     if (auto ready = client->wait_for("scorer", std::chrono::seconds(10)); !ready)
//       return std::fprintf(stderr, "%s\n", ready.error().message.c_str()), 1;
//
//     auto score = client->function<long(long)>("scorer", "score");  // always the newest version
//     std::printf("%ld\n", score(20));
//
//     moddev::Pin pin = client->pin();  // one epoch, for as long as `pin` lives
//     auto same = pin.function<long(long)>("scorer", "score");
//     if (same) std::printf("%ld in epoch %lu\n", (*same)(20), static_cast<unsigned long>(pin.epoch()));
//   }
// [/example]
// clang-format on
#pragma once

#include <moddev/protocol/result.h>
#include <moddev/view.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moddev {

/// Something that happened to this executor; delivered on the client's own notification thread, one at a
/// time.
struct ClientEvent {
  enum class Kind : std::uint8_t {
    kJoined,   // connected; `epoch` is what runs now
    kApplied,  // `epoch` is live here: `modules` changed
    kFailed,   // `module` of `epoch` cannot be loaded here, `message` says why; the last good epoch goes on
    kStale,    // no daemon: the last good epoch goes on, `message` says why
    kAborted,  // `epoch` was refused by another executor; the last good epoch goes on
  };
  Kind kind = Kind::kApplied;
  std::uint64_t epoch = 0;
  std::vector<std::string> modules;
  std::string module;
  std::string message;
  std::int64_t elapsed_us = 0;  // kApplied: from the announcement to the switch
};

struct ClientOptions {
  /// How people will know this executor in `moddev status`; the program's name when empty.
  std::string name;
  /// Where the daemon is ("ipc:///path", "tcp://host:port"). Empty: MODDEV_ENDPOINT, then moddev.toml found
  /// upwards from the working directory, then the user's default socket. The daemon need not run yet.
  std::string endpoint;
  /// Where fetched modules are kept, shared by all processes of the user. Empty: the user's cache directory.
  std::string cache_directory;
  /// Without a daemon at the start, what ran here last is loaded from the cache and goes on as stale, until
  /// there is a daemon. Only if the daemon was heard within this time, for what is older may have been
  /// withdrawn. 0: never.
  std::chrono::seconds offline_grace = std::chrono::hours(7 * 24);
  /// Large modules as patches or compressed also from a daemon on this machine, where whole ones are faster.
  /// From another machine they always come so.
  bool small_transfers = false;
  /// A native module with code that runs while it is loaded (static objects with constructors, ...) is loaded
  /// in a child process first, once for each new content: if it throws, crashes, exits or hangs there, or
  /// crashes when it is unloaded, its epoch is refused with the reason and this process goes on. The child is
  /// a copy of this process with one thread, in which signals have their default effect; it raises no
  /// SIGCHLD. Costs a fork(). Off: for programs that cannot be forked, and for initialisers that need this
  /// program's other threads.
  bool trial = true;
  /// This executor's transport key: the path of a secret file (mode 0600) as `moddev keygen` writes it. Only
  /// for a daemon that takes keys, as every daemon on another machine does. Empty: MODDEV_KEY, then `key` in
  /// the table [executor] of moddev.toml, then the user's own key. A key that was named and cannot be used is
  /// an error of connect().
  std::string key;
  /// The daemon's transport key, 40 characters; it must prove to have it before anything is sent to it. Two
  /// while the daemon's key is being changed. Empty: MODDEV_DAEMON_KEY, then `daemon_keys` in the same table,
  /// then what was told to `moddev trust` for the endpoint.
  std::vector<std::string> daemon_keys;
  /// Keys whose signed epochs are run here, "ed25519:<64 hexadecimal digits>" each; any other is refused, and
  /// so is a daemon that does not sign. Empty: `signers` in the table [executor] of moddev.toml, else the
  /// signers of `moddev trust`; when there are none either, all are run that come from the endpoint.
  std::vector<std::string> signers;
  /// Modules that may be loaded here, as patterns like "scorer" or "models/*"; an epoch with any other is
  /// refused. Empty: `modules` of the same table; when it says nothing: all. Lists that are not given here
  /// are looked at every second while the client runs: what is live goes on, what is under way begins anew.
  /// Who believed signers once does so until its end, also when the last one is taken from the list.
  std::vector<std::string> modules;
  /// Must not throw, and must not destroy the client.
  std::function<void(const ClientEvent&)> on_event;
};

/// Thrown by a Function that is called when its module or symbol is not there.
class ModuleMissing : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <typename Signature>
class Function;
template <layout::Interface T>
class NewestInterface;

/// Ends when it is destroyed: the callback does not run any more then, unless this happens inside of it.
class [[nodiscard]] Subscription {
 public:
  Subscription() = default;
  Subscription(Subscription&&) noexcept = default;
  Subscription& operator=(Subscription&&) noexcept = default;

 private:
  friend class Client;
  explicit Subscription(std::shared_ptr<void> end) : end_(std::move(end)) {}
  std::shared_ptr<void> end_;
};

namespace client {
struct ClientFactory;
}

/// One connection to a daemon, with a thread for messages and a thread for loading. All methods may be called
/// from any thread. Destroying it leaves the fleet and, when the last Function is gone too, unloads; pins
/// must not outlive both. A module's code that hangs in an initialiser, a hook or a destructor is waited for
/// two seconds, then its thread is left behind; exit() may wait for ever then, _exit() does not.
class Client {
 public:
  /// Fails only for what can never work (malformed endpoint, unusable cache directory, a key that was named
  /// and cannot be used): without a daemon the client starts and connects when there is one.
  static Result<Client> connect(ClientOptions options = {});
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  /// Holds the current epoch. Never blocks. It looks at no clock: without a daemon the last good epoch goes
  /// on, and a process that was stopped for longer than its lease (SIGSTOP, a debugger, a frozen container)
  /// may begin on what the fleet has left, until its message thread has run and caught up.
  [[nodiscard]] Pin pin() const;
  /// The same, for work that must not begin on an epoch that the fleet may have left: only while the daemon
  /// cannot have excluded this executor for silence, and the newest committed epoch that was heard of is
  /// live; else that is waited for. Checked when the pin has been taken, by the clock: a process that is
  /// stopped after that goes on with it, as nobody can prevent. Costs a pin and a look at the clock. Errors:
  /// kTimeout.
  [[nodiscard]] Result<Pin> pin_in_lease(std::chrono::milliseconds timeout) const;
  /// Holds one epoch by its number, for work that spans executors: a job takes an epoch from a pin, its tasks
  /// carry the number, and every executor runs them on exactly that epoch or refuses with the reason. An
  /// older epoch is loaded beside the live one, without replacing it, and unloaded after its last pin; a
  /// newer one is waited for. Blocks, so not from module initialisers. Errors: kNotFound (the daemon does not
  /// have it any more), kRefused (a module of it does not load here), kTimeout, kLimit (8 epochs are held
  /// beside the live one already), kUnavailable.
  [[nodiscard]] Result<Pin> pin_epoch(std::uint64_t epoch, std::chrono::milliseconds timeout) const;
  /// The epoch that a pin taken now would hold.
  [[nodiscard]] std::uint64_t epoch() const;

  /// A callable that runs the newest version of a function; each call holds the epoch while it runs.
  template <typename Signature>
  [[nodiscard]] Function<Signature> function(std::string module, std::string symbol) const;

  /// The newest version's object of an interface (<moddev/interface.h>); each use holds the epoch for the
  /// length of the expression: `scoring->score(order)`. While it lives, a version of `module` that does not
  /// offer the interface, with this layout, is refused, and the last good one goes on.
  template <layout::Interface T>
  [[nodiscard]] NewestInterface<T> interface(std::string module) const;

  /// Waits until `module` is live. Errors: kTimeout, whose message says what is known (no daemon, no such
  /// module, why it could not be loaded).
  Status wait_for(std::string_view module, std::chrono::milliseconds timeout) const;
  /// Waits until an epoch >= `epoch` is live. Errors: kTimeout.
  Status wait_for_epoch(std::uint64_t epoch, std::chrono::milliseconds timeout) const;

  /// Calls `callback` with what is live now, if `module` is there, and after each change of it, also when it
  /// was removed (then bytes() and symbol() say kNotFound). On the notification thread; several changes in a
  /// row may come as one. It must not throw, nor destroy the client. For modules of any kind:
  ///   auto watch = client.on_change("weights.bin", [](const moddev::Pin& pin) {
  ///     if (auto bytes = pin.bytes("weights.bin")) use(*bytes);
  ///   });
  Subscription on_change(std::string module, std::function<void(const Pin&)> callback) const;

  /// Whether the daemon was heard within its lease.
  [[nodiscard]] bool connected() const;
  /// This executor's identity, as in `moddev status`.
  [[nodiscard]] std::string id() const;

 private:
  friend class NewestSymbol;
  friend struct client::ClientFactory;
  struct State;
  explicit Client(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

/// The newest version of one symbol or interface: what a Function or NewestInterface is made of. It does not
/// depend on where its Client is; after the Client was destroyed it stays with the last epoch.
class NewestSymbol {
 public:
  struct Held {
    Pin pin;
    void* address;  // good while `pin` lives
  };
  NewestSymbol(const Client& client, std::string module, std::string symbol);
  /// `use` must live as long.
  NewestSymbol(const Client& client, std::string module, const InterfaceUse& use);
  /// Throws ModuleMissing. From any thread.
  [[nodiscard]] Held hold() const;

 private:
  struct Bound;
  std::shared_ptr<const Bound> bound_;
};

/// A callable that always runs the newest version. Cheap to copy; from any thread. A call costs a pin, a
/// remembered address and two looks at the clock, because runs are counted: below a tenth of a microsecond,
/// without a lock. Who calls something tiny very often takes one pin for many calls, which are one run then.
template <typename Return, typename... Arguments>
class Function<Return(Arguments...)> {
 public:
  explicit Function(NewestSymbol symbol) : symbol_(std::move(symbol)) {}

  /// Throws ModuleMissing.
  Return operator()(Arguments... arguments) const {
    const NewestSymbol::Held held = symbol_.hold();
    return reinterpret_cast<Return (*)(Arguments...)>(held.address)(std::forward<Arguments>(arguments)...);
  }

 private:
  NewestSymbol symbol_;
};

template <typename Signature>
Function<Signature> Client::function(std::string module, std::string symbol) const {
  return Function<Signature>(NewestSymbol(*this, std::move(module), std::move(symbol)));
}

/// Cheap to copy; from any thread. A use costs as much as the call of a Function.
template <layout::Interface T>
class NewestInterface {
 public:
  explicit NewestInterface(NewestSymbol object) : object_(std::move(object)) {}

  /// The object with its epoch, held while this lives.
  class Held {
   public:
    explicit Held(NewestSymbol::Held object) : object_(std::move(object)) {}
    InterfacePointer<T> operator->() const { return static_cast<InterfacePointer<T>>(object_.address); }
    decltype(auto) operator*() const { return *operator->(); }

   private:
    NewestSymbol::Held object_;
  };
  /// Throws ModuleMissing, whose message says why.
  [[nodiscard]] Held hold() const { return Held(object_.hold()); }
  Held operator->() const { return hold(); }

 private:
  NewestSymbol object_;
};

template <layout::Interface T>
NewestInterface<T> Client::interface(std::string module) const {
  return NewestInterface<T>(NewestSymbol(*this, std::move(module), UsedInterface<T>::use));
}

}  // namespace moddev
