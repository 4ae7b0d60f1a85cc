// Who may speak for an executor: whoever it joined as. Ids of executors are no secret, since status shows
// them; without this one trusted machine could take the executors of another out of the fleet, or refuse and
// applaud in their names. What a caller may do at all is access.h.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "daemon/caller.h"
#include "protocol/messages.h"
#include "protocol/uuid.h"

namespace moddev::daemon {

class Speakers {
 public:
  using IsMember = std::function<bool(const Uuid&)>;

  /// The refusal of a join, sign of life, ack or goodbye for an executor that joined as somebody else. The
  /// daemon's user may speak for all, and a key may under any name. Who joined is kept beyond its membership:
  /// at limits::kSpeakers those are forgotten that are no members.
  [[nodiscard]] std::optional<ErrorReply> refusal(const Caller& caller, const RequestBody& request,
                                                  const IsMember& is_member);

 private:
  std::map<Uuid, Caller> joined_as_;
};

}  // namespace moddev::daemon
