#include <moddev/client.h>

#include <utility>

#include "client/src/client_factory.h"
#include "client/src/limits.h"

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

bool Client::connected() const {
  return state_->runtime->status().connected;
}

std::string Client::id() const {
  return state_->runtime->options().identity.id.to_string();
}

NewestSymbol::NewestSymbol(const Client& client, std::string module, std::string symbol)
    : views_(client.state_->runtime->views()), module_(std::move(module)), symbol_(std::move(symbol)) {}

NewestSymbol::Held NewestSymbol::hold() const {
  Held held{views_->pin(), nullptr};
  const Result<void*> address = held.pin.symbol(module_, symbol_);
  if (!address) throw ModuleMissing(address.error().message);
  held.address = *address;
  return held;
}

}  // namespace moddev
