// Who sent a request, as the transport has proven it. What that one may do is access.h.
#pragma once

#include <cstdint>
#include <string>

namespace moddev::daemon {

struct Caller {
  enum class Kind : std::uint8_t {
    kUser,  // a process of the user whose daemon this is, on this machine: proven by the kernel
    kKey,   // the owner of a trusted transport key: proven by CURVE
  };
  Kind kind = Kind::kUser;
  /// kKey: the name in the list of trusted keys, and the key as text.
  std::string name{};
  std::string key{};
  /// Where it is, for people: "pid 4711", "10.0.0.2".
  std::string address{};

  /// "you", "laptop".
  [[nodiscard]] std::string who() const { return kind == Kind::kUser ? "you" : name; }
  friend bool operator==(const Caller&, const Caller&) = default;
};

/// Somebody was not let in, or was denied something; for the owner.
struct Refusal {
  std::string who;  // an address, a name
  std::string why;
};

}  // namespace moddev::daemon
