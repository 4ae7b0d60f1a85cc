#include "tools/moddev/outcome.h"

#include "tools/moddev/asking.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/refusals.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {

std::string why_refused(client::Requester& daemon, Epoch epoch) {
  const auto history = daemon.ask_for<HistoryReply>(HistoryRequest{"", epoch + 1, 1}, kAnswerPatience);
  if (!history || history->entries.empty() || history->entries.front().epoch != epoch) return {};
  const std::string why = refusals_text(history->entries.front());
  return why.empty() ? why : ' ' + why;
}

bool complain_unpublished(const std::vector<UnpublishedFile>& files, std::uint64_t count) {
  for (const UnpublishedFile& file : files)
    complain(printable(file.path + " is not published: " + file.reason + "."));
  if (count > files.size())
    complain(counted(count - files.size(), "more file") + " of " + std::to_string(count) +
             " are not named here.");
  return count > 0;
}

}  // namespace moddev::tools
