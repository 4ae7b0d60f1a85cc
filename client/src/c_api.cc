// The C interface over the C++ one: translation only.
#include <moddev/c_api.h>
#include <moddev/client.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <string>
#include <utility>
#include <vector>

struct moddev_error {
  moddev_code code = MODDEV_INTERNAL;
  std::string message;
};
struct moddev_client {
  moddev::Client client;
};
/// Either its own pin, or one that a callback lends.
struct moddev_pin {
  moddev::Pin own;
  const moddev::Pin* pin = &own;
  mutable std::vector<moddev::ModuleInfo> modules;
  mutable bool listed = false;
};
struct moddev_watch {
  moddev::Subscription subscription;
};

namespace {

using moddev::ClientEvent;
using moddev::ErrorCode;

moddev_code code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return MODDEV_INVALID_ARGUMENT;
    case ErrorCode::kNotFound:
      return MODDEV_NOT_FOUND;
    case ErrorCode::kAlreadyExists:
      return MODDEV_ALREADY_EXISTS;
    case ErrorCode::kConflict:
      return MODDEV_CONFLICT;
    case ErrorCode::kPermission:
      return MODDEV_PERMISSION;
    case ErrorCode::kUnavailable:
      return MODDEV_UNAVAILABLE;
    case ErrorCode::kTimeout:
      return MODDEV_TIMEOUT;
    case ErrorCode::kLimit:
      return MODDEV_LIMIT;
    case ErrorCode::kCorrupt:
      return MODDEV_CORRUPT;
    case ErrorCode::kIo:
      return MODDEV_IO;
    case ErrorCode::kUnsupported:
      return MODDEV_UNSUPPORTED;
    case ErrorCode::kRefused:
      return MODDEV_REFUSED;
    case ErrorCode::kInternal:
      return MODDEV_INTERNAL;
  }
  return MODDEV_INTERNAL;
}

moddev_event_kind kind_of(ClientEvent::Kind kind) {
  switch (kind) {
    case ClientEvent::Kind::kJoined:
      return MODDEV_JOINED;
    case ClientEvent::Kind::kApplied:
      return MODDEV_APPLIED;
    case ClientEvent::Kind::kFailed:
      return MODDEV_FAILED;
    case ClientEvent::Kind::kStale:
      return MODDEV_STALE;
    case ClientEvent::Kind::kAborted:
      return MODDEV_ABORTED;
  }
  return MODDEV_FAILED;
}

moddev_code set(moddev_error** error, const moddev::Error& why) {
  const moddev_code code = code_of(why.code);
  if (error != nullptr) *error = new moddev_error{code, why.message};
  return code;
}

/// Runs `body`; what it throws (memory is used up) becomes `failed` and an error.
template <typename Value, typename Body>
Value guarded(moddev_error** error, Value failed, Body body) noexcept {
  try {
    return body();
  } catch (const std::exception& problem) {
    try {
      set(error, {ErrorCode::kInternal, problem.what(), 0});
    } catch (...) {
    }
    return failed;
  } catch (...) {
    return failed;
  }
}

/// Calls what the caller gave us, on a thread of ours: an exception that left it would end the process.
template <typename Body>
void contained(Body body) noexcept {
  try {
    body();
  } catch (...) {
    // C has no way to hear of it; the header says so.
  }
}

std::string text(const char* value) {
  return value == nullptr ? "" : value;
}

std::vector<std::string> texts(const char* const* values, size_t count) {
  std::vector<std::string> result;
  for (size_t i = 0; values != nullptr && i < count; ++i) result.push_back(text(values[i]));
  return result;
}

/// The caller's options, as far as he knows them.
moddev::ClientOptions options_of(const moddev_options* given) {
  moddev_options known{};
  if (given != nullptr) std::memcpy(&known, given, std::min(given->size, sizeof known));
  moddev::ClientOptions options;
  options.name = text(known.name);
  options.endpoint = text(known.endpoint);
  options.cache_directory = text(known.cache_directory);
  options.key = text(known.key);
  options.daemon_keys = texts(known.daemon_keys, known.daemon_key_count);
  options.signers = texts(known.signers, known.signer_count);
  options.modules = texts(known.modules, known.module_count);
  if (known.offline_grace_s > 0) options.offline_grace = std::chrono::seconds(known.offline_grace_s);
  if (known.offline_grace_s < 0) options.offline_grace = std::chrono::seconds(0);
  if (known.on_event == nullptr) return options;
  options.on_event = [call = known.on_event, user = known.user](const ClientEvent& event) {
    std::vector<const char*> modules;
    modules.reserve(event.modules.size());
    for (const std::string& module : event.modules) modules.push_back(module.c_str());
    const moddev_event told{sizeof told,    kind_of(event.kind),  event.epoch,           modules.data(),
                            modules.size(), event.module.c_str(), event.message.c_str(), event.elapsed_us};
    contained([&] { call(&told, user); });
  };
  return options;
}

const std::vector<moddev::ModuleInfo>& modules_of(const moddev_pin* pin) {
  if (!pin->listed) pin->modules = pin->pin->modules();
  pin->listed = true;
  return pin->modules;
}

}  // namespace

unsigned moddev_abi_version(void) {
  return MODDEV_ABI_VERSION;
}

moddev_code moddev_error_code(const moddev_error* error) {
  return error == nullptr ? MODDEV_OK : error->code;
}
const char* moddev_error_message(const moddev_error* error) {
  return error == nullptr ? "" : error->message.c_str();
}
void moddev_error_free(moddev_error* error) {
  delete error;
}

moddev_client* moddev_connect(const moddev_options* options, moddev_error** error) {
  return guarded<moddev_client*>(error, nullptr, [&]() -> moddev_client* {
    auto client = moddev::Client::connect(options_of(options));
    if (!client) return set(error, client.error()), nullptr;
    return new moddev_client{std::move(*client)};
  });
}
void moddev_disconnect(moddev_client* client) {
  delete client;
}
int moddev_connected(const moddev_client* client) {
  return client->client.connected() ? 1 : 0;
}
uint64_t moddev_epoch(const moddev_client* client) {
  return client->client.epoch();
}
moddev_code moddev_wait_for(const moddev_client* client, const char* module, int64_t timeout_ms,
                            moddev_error** error) {
  return guarded(error, MODDEV_INTERNAL, [&] {
    const auto waited = client->client.wait_for(text(module), std::chrono::milliseconds(timeout_ms));
    return waited ? MODDEV_OK : set(error, waited.error());
  });
}
moddev_code moddev_wait_for_epoch(const moddev_client* client, uint64_t epoch, int64_t timeout_ms,
                                  moddev_error** error) {
  return guarded(error, MODDEV_INTERNAL, [&] {
    const auto waited = client->client.wait_for_epoch(epoch, std::chrono::milliseconds(timeout_ms));
    return waited ? MODDEV_OK : set(error, waited.error());
  });
}

moddev_pin* moddev_pin_current(const moddev_client* client) {
  auto* pin = new moddev_pin;
  pin->own = client->client.pin();
  return pin;
}
moddev_pin* moddev_pin_at(const moddev_client* client, uint64_t epoch, int64_t timeout_ms,
                          moddev_error** error) {
  return guarded<moddev_pin*>(error, nullptr, [&]() -> moddev_pin* {
    auto held = client->client.pin_epoch(epoch, std::chrono::milliseconds(timeout_ms));
    if (!held) return set(error, held.error()), nullptr;
    auto* pin = new moddev_pin;
    pin->own = std::move(*held);
    return pin;
  });
}
void moddev_unpin(moddev_pin* pin) {
  delete pin;
}
uint64_t moddev_pin_epoch(const moddev_pin* pin) {
  return pin->pin->epoch();
}
void* moddev_pin_symbol(const moddev_pin* pin, const char* module, const char* name, moddev_error** error) {
  return guarded<void*>(error, nullptr, [&]() -> void* {
    const auto address = pin->pin->symbol(text(module), text(name));
    if (!address) return set(error, address.error()), nullptr;
    return *address;
  });
}
moddev_function moddev_pin_function(const moddev_pin* pin, const char* module, const char* name,
                                    moddev_error** error) {
  return reinterpret_cast<moddev_function>(moddev_pin_symbol(pin, module, name, error));
}
const void* moddev_pin_bytes(const moddev_pin* pin, const char* module, size_t* size, moddev_error** error) {
  return guarded<const void*>(error, nullptr, [&]() -> const void* {
    const auto bytes = pin->pin->bytes(text(module));
    if (!bytes) return set(error, bytes.error()), nullptr;
    if (size != nullptr) *size = bytes->size();
    return bytes->empty() ? static_cast<const void*>("") : bytes->data();
  });
}
uint64_t moddev_pin_version(const moddev_pin* pin, const char* module, moddev_error** error) {
  return guarded<uint64_t>(error, 0, [&]() -> uint64_t {
    const auto info = pin->pin->module(text(module));
    if (!info) return set(error, info.error()), 0;
    return info->version;
  });
}
size_t moddev_pin_module_count(const moddev_pin* pin) {
  return guarded<size_t>(nullptr, 0, [&] { return modules_of(pin).size(); });
}
const char* moddev_pin_module_name(const moddev_pin* pin, size_t index) {
  return guarded<const char*>(nullptr, nullptr, [&]() -> const char* {
    const auto& modules = modules_of(pin);
    return index < modules.size() ? modules[index].name.c_str() : nullptr;
  });
}

moddev_watch* moddev_watch_module(const moddev_client* client, const char* module,
                                  void (*on_change)(const moddev_pin* pin, void* user), void* user) {
  return guarded<moddev_watch*>(nullptr, nullptr, [&] {
    auto* watch = new moddev_watch;
    watch->subscription = client->client.on_change(text(module), [on_change, user](const moddev::Pin& pin) {
      moddev_pin lent;
      lent.pin = &pin;
      contained([&] { on_change(&lent, user); });
    });
    return watch;
  });
}
void moddev_unwatch(moddev_watch* watch) {
  delete watch;
}
