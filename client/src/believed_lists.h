// The lists of whom an executor believes and what it lets in, as files that change while it runs: `moddev
// trust` and moddev.toml. It says that they have changed and what they say; what follows is the session's.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/src/discovery.h"
#include "protocol/private_file.h"
#include "protocol/result.h"

namespace moddev::client {

class BelievedLists {
 public:
  /// What was said by arguments does not change.
  BelievedLists(std::vector<std::string> signers, std::vector<std::string> modules, Surroundings here)
      : signers_(std::move(signers)), modules_(std::move(modules)), here_(std::move(here)) {}

  /// Errors: those of discover_believed().
  [[nodiscard]] Result<Believed> read();
  /// What is believed now, when a file has changed since the last call of either. Lists that cannot be read
  /// any more let nobody sign, as the doorkeeper's list lets nobody in: it may have been somebody's end.
  /// Where no signer was asked for so far, they are looked at again later.
  [[nodiscard]] std::optional<Believed> changed();

 private:
  using Stamps = std::vector<std::pair<std::string, std::optional<FileVersion>>>;
  [[nodiscard]] Stamps stamps() const;

  std::vector<std::string> signers_;
  std::vector<std::string> modules_;
  Surroundings here_;
  Stamps seen_;
  Believed last_;
};

}  // namespace moddev::client
