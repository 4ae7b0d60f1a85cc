#include "client/src/believed_lists.h"

#include "protocol/trust.h"

namespace moddev::client {

Result<Believed> BelievedLists::read() {
  seen_ = stamps();  // before reading: what is written meanwhile is seen the next time
  auto said = discover_believed(signers_, modules_, here_);
  if (said) last_ = *said;
  return said;
}

std::optional<Believed> BelievedLists::changed() {
  if (!signers_.empty() && !modules_.empty()) return std::nullopt;
  if (stamps() == seen_) return std::nullopt;
  auto said = read();
  if (said) return std::move(*said);
  if (last_.signers.empty()) return std::nullopt;
  return Believed{{}, last_.modules};
}

BelievedLists::Stamps BelievedLists::stamps() const {
  Stamps result;
  if (const auto file = configuration_of(here_)) result.emplace_back(*file, stamp_of(*file));
  const auto directory = configuration_directory(here_.xdg_config_home.c_str(), here_.home.c_str());
  if (directory) result.emplace_back(trust_file(*directory), stamp_of(trust_file(*directory)));
  return result;
}

}  // namespace moddev::client
