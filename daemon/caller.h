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

/// What the transport refused by itself; for the owner.
struct Refusal {
  enum class Kind : std::uint8_t {
    kNotLetIn,  // at the door
    kCutOff,    // was inside, and is out
    kDropped,   // a message that is no request, or more than is allowed
  };
  std::string who;  // a name, or an address
  std::string why;
  Kind kind = Kind::kNotLetIn;
  std::string address{};  // when `who` is a name
  std::uint64_t count = 1;
};

/// Somebody has connected, so many times.
struct Arrival {
  Caller caller;
  std::uint64_t count = 1;
};

}  // namespace moddev::daemon
