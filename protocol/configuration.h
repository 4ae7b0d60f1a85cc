// moddev.toml: what a person can say to daemons, clients and supervisors in one file. Every one of them reads
// the whole of it, although it needs only a part: an unknown key or a wrong type is an error for everyone,
// which names the file, the line and what would be right. From where it is looked for, and what beats it
// (flags, variables), is not known here.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace moddev {

namespace limits {
/// A larger moddev.toml is refused.
inline constexpr std::size_t kConfigurationBytes = 1024UL * 1024;
/// In so many directories upwards it is looked for.
inline constexpr std::size_t kConfigurationDepth = 64;
}  // namespace limits

/// The table [supervise]: what `moddev supervise` can be told.
struct SuperviseConfiguration {
  std::optional<std::uint64_t> workers;
  std::optional<std::vector<std::string>> listen;
  std::optional<std::string> ready_tcp;
  std::optional<std::string> ready_command;
  std::optional<std::chrono::milliseconds> ready_timeout;
  std::optional<std::chrono::milliseconds> drain_timeout;
  std::optional<std::vector<std::string>> cycle;
  std::optional<std::vector<std::string>> reload;
};

/// The table [executor]: what this machine's executors believe and let in, and with which keys they and other
/// clients connect.
struct ExecutorConfiguration {
  std::optional<std::vector<std::string>> signers;
  std::optional<std::vector<std::string>> modules;
  /// A path, absolute or from where the file lies.
  std::optional<std::string> key;
  std::optional<std::vector<std::string>> daemon_keys;
};

/// The table [retention]: how much of the past a daemon keeps.
struct RetentionConfiguration {
  std::optional<std::uint64_t> epochs;
  /// Of modules' bytes, in units of 1,000,000.
  std::optional<std::uint64_t> megabytes;
};

/// One [[access]]: what these may do. What a right is called is the daemon's to know.
struct AccessConfiguration {
  std::vector<std::string> who{};
  std::vector<std::string> may{};
  std::vector<std::string> modules{"*"};
  /// Where it stands, for messages: "/p/moddev.toml:7".
  std::string place{};
};

/// What was said, by a file or by flags. Absent means: not said.
struct Configuration {
  std::optional<std::string> endpoint;
  std::optional<std::vector<std::string>> bind;
  std::optional<std::chrono::milliseconds> debounce;
  std::optional<std::vector<std::string>> ignore;
  std::optional<bool> follow_outside;
  std::optional<std::string> backend;
  std::optional<std::string> sync;
  std::optional<std::vector<std::string>> canary;
  std::optional<std::chrono::milliseconds> canary_time;
  std::map<std::string, std::vector<std::string>> dependencies;
  std::optional<std::vector<AccessConfiguration>> access;
  RetentionConfiguration retention;
  SuperviseConfiguration supervise;
  ExecutorConfiguration executor;
};

/// The keys, for suggestions and for the documentation's test.
[[nodiscard]] const std::vector<std::string>& configuration_keys();
/// Those of a table [[access]].
[[nodiscard]] const std::vector<std::string>& access_keys();
/// Those of the table [retention].
[[nodiscard]] const std::vector<std::string>& retention_keys();
/// Those of the table [supervise].
[[nodiscard]] const std::vector<std::string>& supervise_keys();
/// Those of the table [executor].
[[nodiscard]] const std::vector<std::string>& executor_keys();

/// `file` is for messages. Errors: kInvalidArgument.
[[nodiscard]] Result<Configuration> parse_configuration(std::string_view text, const std::string& file);
/// A file of `uid` or root that others cannot change or replace (the group may): it decides whose code runs,
/// and who may do what. One that is not so is an error and never passed over, since it may hold the very
/// rules that keep others out. Errors: those of parse_configuration(); kPermission with what to do; what
/// open(2) and read(2) say, with the path; kLimit beyond limits::kConfigurationBytes.
[[nodiscard]] Result<Configuration> read_configuration(const std::string& file, uid_t uid);

/// The nearest regular file moddev.toml in `directory` or above it, whoever it belongs to.
[[nodiscard]] std::optional<std::string> find_configuration_upwards(const std::string& directory);

}  // namespace moddev
