#include "tools/moddev/asking.h"

#include "client/src/discovery.h"

namespace moddev::tools {

Result<std::unique_ptr<client::Requester>> reach_daemon(const std::string& endpoint,
                                                        std::chrono::milliseconds patience) {
  const auto here = client::Surroundings::of_this_process();
  const auto found = client::discover_endpoint(endpoint, here);
  if (!found) return found.error();
  auto keys = client::discover_keys("", {}, here);
  if (!keys) return keys.error();
  auto requester =
      client::Requester::open(found->endpoint, "moddev " MODDEV_VERSION, patience, std::move(*keys));
  if (!requester) return explained(requester.error(), found->source);
  return requester;
}

Error explained(const Error& error, const std::string& source) {
  Error result = error;
  const bool chosen = !source.empty() && source != "the default";
  const std::string where = chosen ? " That endpoint is from " + source + "." : "";
  if (error.code == ErrorCode::kUnavailable) {
    result.message += where + " Start a daemon with `moddev watch DIR`.";
  } else if (error.code == ErrorCode::kTimeout) {
    result.message += where + " The daemon may be stopped or overloaded.";
  }
  return result;
}

}  // namespace moddev::tools
