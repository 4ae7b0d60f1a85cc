#include <moddev/client.h>

#include <atomic>
#include <utility>

#include "client/src/client_factory.h"
#include "client/src/interfaces.h"
#include "client/src/limits.h"
#include "client/src/view.h"

namespace moddev {

struct Client::State {
  std::unique_ptr<client::Runtime> runtime;
};

namespace {

/// Why `module` is not there, for whoever waited for it.
std::string explain_missing(const std::string& module, const SessionStatus& status, const Pin& pin,
                            const std::string& endpoint) {
  for (const ModuleFailure& failure : status.failures) {
    if (failure.module == module) {
      return "Module '" + module + "' cannot be loaded here: " + failure.error;
    }
  }
  if (!status.connected) {
    return status.problem.empty() ? "No daemon answers at " + endpoint + ". Is `moddev watch DIR` running?"
                                  : status.problem;
  }
  if (!status.failures.empty()) {
    return "The epoch with module '" + module + "' cannot be loaded here: " + status.failures.front().module +
           ": " + status.failures.front().error;
  }
  if (status.committed > status.applied) {
    return "Epoch " + std::to_string(status.committed) + " is still being loaded.";
  }
  std::string names;
  std::size_t shown = 0;
  for (const ModuleInfo& info : pin.modules()) {
    if (shown++ == client::limits::kNamesShown) {
      names += ", ...";
      break;
    }
    names += (names.empty() ? "" : ", ") + info.name;
  }
  return "The daemon at " + endpoint + " has " +
         (names.empty() ? "no modules yet." : "no module '" + module + "'. It has " + names + ".");
}

}  // namespace

Client::Client(std::shared_ptr<State> state) : state_(std::move(state)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> client::ClientFactory::make(RuntimeParts parts) {
  auto runtime = Runtime::start(std::move(parts));
  if (!runtime) return runtime.error();
  auto state = std::make_shared<Client::State>();
  state->runtime = std::move(*runtime);
  return Client(std::move(state));
}

Pin Client::pin() const {
  return state_->runtime->views()->pin();
}

Result<Pin> Client::pin_in_lease(std::chrono::milliseconds timeout) const {
  const client::Runtime& runtime = *state_->runtime;
  Pin held = pin();
  if (runtime.in_lease()) return held;
  held.release();  // what is waited for may need it to be drained
  const bool in_time = runtime.wait(
      [&] {
        held = pin();
        if (runtime.in_lease()) return true;
        held.release();
        return false;
      },
      timeout);
  if (in_time) return held;
  const SessionStatus status = runtime.status();
  std::string why = status.problem;
  if (why.empty() && status.committed > status.applied) {
    why = "Epoch " + std::to_string(status.committed) + " is committed and not live here.";
  }
  if (why.empty()) why = "The daemon has not answered within its lease.";
  return Error{ErrorCode::kTimeout,
               "Waited " + std::to_string(timeout.count()) + " ms to be in step with the fleet. " + why};
}

Result<Pin> Client::pin_epoch(std::uint64_t epoch, std::chrono::milliseconds timeout) const {
  Pin now = pin();
  if (now && now.epoch() == epoch) return now;
  now.release();
  return state_->runtime->pin_epoch(epoch, timeout);
}

std::uint64_t Client::epoch() const {
  return pin().epoch();
}

Status Client::wait_for(std::string_view module, std::chrono::milliseconds timeout) const {
  const client::Runtime& runtime = *state_->runtime;
  if (runtime.wait([&] { return pin().module(module).ok(); }, timeout)) return {};
  return Error{ErrorCode::kTimeout,
               "Waited " + std::to_string(timeout.count()) + " ms for module '" + std::string(module) +
                   "'. " +
                   explain_missing(std::string(module), runtime.status(), pin(), runtime.options().endpoint)};
}

Status Client::wait_for_epoch(std::uint64_t epoch, std::chrono::milliseconds timeout) const {
  const client::Runtime& runtime = *state_->runtime;
  if (runtime.wait([&] { return pin().epoch() >= epoch; }, timeout)) return {};
  const SessionStatus status = runtime.status();
  std::string why = status.problem;
  if (!status.failures.empty()) why = status.failures.front().module + ": " + status.failures.front().error;
  if (why.empty()) why = "The newest epoch that was committed is " + std::to_string(status.committed) + ".";
  return Error{ErrorCode::kTimeout, "Waited " + std::to_string(timeout.count()) + " ms for epoch " +
                                        std::to_string(epoch) + "; epoch " + std::to_string(pin().epoch()) +
                                        " is live here. " + why};
}

Subscription Client::on_change(std::string module, std::function<void(const Pin&)> callback) const {
  const auto watchers = state_->runtime->watchers();
  const std::uint64_t id = watchers->add(std::move(module), std::move(callback));
  return Subscription(std::shared_ptr<void>(nullptr, [watchers, id](void*) { watchers->remove(id); }));
}

bool Client::connected() const {
  return state_->runtime->status().connected;
}

std::string Client::id() const {
  return state_->runtime->options().identity.id.to_string();
}

/// What all copies of one Function share: the names, and the address in the newest view that it was called
/// in.
struct NewestSymbol::Bound {
  std::shared_ptr<const ViewStore> views;
  std::string module;
  std::string symbol;
  const InterfaceUse* interface = nullptr;  // when it is one

  Bound() = default;
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;
  ~Bound() {
    if (interface != nullptr) ExpectedInterfaces::of_process().release(module, interface->name());
  }

  // `address` and `use` belong to the view with this serial. Serials only rise, so one that is the same
  // before and after they were read vouches for them.
  mutable std::atomic<std::uint64_t> serial{0};
  mutable std::atomic<void*> address{nullptr};
  mutable std::atomic<const ModuleUse*> use{nullptr};
  mutable std::atomic<bool> changing{false};
  mutable std::uint64_t newest = 0;  // by who is changing

  struct Remembered {
    void* address = nullptr;
    const ModuleUse* use = nullptr;
  };
  [[nodiscard]] Remembered remembered(std::uint64_t wanted) const {
    if (serial.load(std::memory_order_acquire) != wanted) return {};
    const Remembered found{address.load(std::memory_order_acquire), use.load(std::memory_order_acquire)};
    return serial.load(std::memory_order_relaxed) == wanted ? found : Remembered{};
  }
  void remember(std::uint64_t its_serial, void* its_address, const ModuleUse* its_use) const {
    if (changing.exchange(true, std::memory_order_acquire)) return;  // another thread does; next time
    if (its_serial > newest) {
      newest = its_serial;
      serial.store(0, std::memory_order_relaxed);
      address.store(its_address, std::memory_order_release);
      use.store(its_use, std::memory_order_release);
      serial.store(its_serial, std::memory_order_release);
    }
    changing.store(false, std::memory_order_release);
  }
};

NewestSymbol::NewestSymbol(const Client& client, std::string module, std::string symbol) {
  auto bound = std::make_shared<Bound>();
  bound->views = client.state_->runtime->views();
  bound->module = std::move(module);
  bound->symbol = std::move(symbol);
  bound_ = std::move(bound);
}

NewestSymbol::NewestSymbol(const Client& client, std::string module, const InterfaceUse& use) {
  auto bound = std::make_shared<Bound>();
  bound->views = client.state_->runtime->views();
  bound->module = std::move(module);
  ExpectedInterfaces::of_process().require(bound->module, use.name());
  bound->interface = &use;
  bound_ = std::move(bound);
}

NewestSymbol::Held NewestSymbol::hold() const {
  Held held{bound_->views->pin(), nullptr};
  const std::uint64_t serial = held.pin.view_ == nullptr ? 0 : held.pin.view_->serial();
  if (serial != 0) {
    const Bound::Remembered known = bound_->remembered(serial);
    if (known.address != nullptr) {
      held.pin.begin_run(*known.use);
      held.address = known.address;
      return held;
    }
  }
  const Result<void*> address = bound_->interface != nullptr
                                    ? held.pin.provided(bound_->module, *bound_->interface)
                                    : held.pin.symbol(bound_->module, bound_->symbol);
  if (!address) throw ModuleMissing(address.error().message);
  held.address = *address;
  bound_->remember(serial, held.address, held.pin.use_of(bound_->module));
  return held;
}

}  // namespace moddev
