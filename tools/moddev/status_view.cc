#include "tools/moddev/status_view.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/limits.h"
#include "tools/moddev/refusals.h"

namespace moddev::tools {
namespace {

std::string epoch_text(Epoch epoch) {
  return epoch == 0 ? "-" : "epoch " + std::to_string(epoch);
}

Colour colour_of(ExecutorState state) {
  switch (state) {
    case ExecutorState::kLive:
      return Colour::kGood;
    case ExecutorState::kFailed:
    case ExecutorState::kFenced:
      return Colour::kBad;
    case ExecutorState::kGone:
      return Colour::kDim;
    case ExecutorState::kJoining:
    case ExecutorState::kPreparing:
    case ExecutorState::kStale:
      break;
  }
  return Colour::kNotice;
}

bool is_there(const ExecutorStatus& executor) {
  return executor.state != ExecutorState::kGone && executor.state != ExecutorState::kFenced;
}

std::uint64_t count_of(const StatusReply& status, const std::function<bool(const ExecutorStatus&)>& wanted) {
  return static_cast<std::uint64_t>(
      std::count_if(status.executors.begin(), status.executors.end(),
                    [&](const ExecutorStatus& one) { return is_there(one) && wanted(one); }));
}

/// "in all 3 executors", "in 2 of 3 executors": by the epoch that each runs, whatever else it does meanwhile.
std::string where(const StatusReply& status, const Palette& palette) {
  const std::uint64_t there = count_of(status, [](const ExecutorStatus&) { return true; });
  if (there == 0) return ", no executors";
  if (status.committed_epoch == 0) return ", " + counted(there, "executor");
  const std::uint64_t on_it = count_of(status, [&](const ExecutorStatus& one) {
    return one.epoch == status.committed_epoch && one.state != ExecutorState::kFailed;
  });
  if (on_it == there) return (there == 1 ? " in " : " in all ") + counted(there, "executor");
  return palette.paint(Colour::kNotice, " in " + std::to_string(on_it) + " of " + counted(there, "executor"));
}

/// What becomes of the epoch that is not decided: ", 1 tries epoch 8, 2 prepare epoch 8".
std::string under_way(const StatusReply& status) {
  const std::string epoch = " epoch " + std::to_string(status.epoch);
  const std::uint64_t trying =
      count_of(status, [&](const ExecutorStatus& one) { return one.epoch > status.committed_epoch; });
  const std::uint64_t preparing = count_of(status, [&](const ExecutorStatus& one) {
    return one.epoch == status.committed_epoch && one.state == ExecutorState::kPreparing;
  });
  std::string text;
  if (trying > 0) text += ", " + std::to_string(trying) + (trying == 1 ? " tries" : " try") + epoch;
  if (preparing > 0)
    text += ", " + std::to_string(preparing) + (preparing == 1 ? " prepares" : " prepare") + epoch;
  return text.empty() ? "," + epoch + " is being prepared" : text;
}

std::string headline(const StatusReply& status, bool pending, const std::optional<HistoryEntry>& past,
                     const Palette& palette) {
  std::string text = palette.paint(Colour::kStrong, status.committed_epoch == 0
                                                        ? "nothing published yet"
                                                        : epoch_text(status.committed_epoch) + " live");
  text += where(status, palette);
  const auto fenced =
      std::count_if(status.executors.begin(), status.executors.end(),
                    [](const ExecutorStatus& executor) { return executor.state == ExecutorState::kFenced; });
  if (fenced > 0) text += palette.paint(Colour::kNotice, ", " + std::to_string(fenced) + " fenced");
  if (pending && status.epoch > status.committed_epoch)
    return text + palette.paint(Colour::kNotice, under_way(status)) + "\n";
  // The newest was refused and undone when nothing is: the directory is as what is live.
  if (status.refused == 0) return text + "\n";
  text += palette.paint(Colour::kNotice, ", epoch " + std::to_string(status.refused) + " was refused") + "\n";
  if (!past) return text;
  return text +
         palette.paint(Colour::kNotice, "refused: " + (past->failures.empty() ? "nobody was left to use it."
                                                                              : refusals_text(*past))) +
         "\n";
}

std::string hold_text(const StatusReply& status, const std::string& module) {
  for (const HoldReport& hold : status.holds) {
    if (hold.module != module) continue;
    return "the bytes of version " + std::to_string(hold.version) + " again, until " + printable(hold.path) +
           " changes";
  }
  return "";
}

/// Modules that a rollback keeps out: there is no line for them otherwise.
std::string kept_out_lines(const StatusReply& status) {
  std::string text;
  for (const HoldReport& hold : status.holds) {
    if (hold.version != 0) continue;
    text += "  " + printable(hold.module) + "  kept out until " + printable(hold.path) + " changes\n";
  }
  return text;
}

std::string module_lines(const StatusReply& status, StatusOrder order, const Palette& palette, WallTime now) {
  std::vector<ModuleEntry> modules = status.modules;
  if (order == StatusOrder::kNewsFirst) {
    std::stable_sort(modules.begin(), modules.end(), [](const ModuleEntry& a, const ModuleEntry& b) {
      return a.changed_at_ns > b.changed_at_ns;
    });
  }
  Table table;
  for (const ModuleEntry& module : modules) {
    const Duration age = now - WallTime(Duration(module.changed_at_ns));
    std::string needs;
    for (const std::string& needed : module.depends_on)
      needs += (needs.empty() ? "needs " : ", ") + printable(needed);
    table.add({{printable(module.name)},
               {std::to_string(module.version)},
               {std::string(to_string(module.kind)), Colour::kDim},
               {human_size(module.size), Colour::kDim},
               {human_age(age), Colour::kDim},
               {std::move(needs), Colour::kDim},
               {hold_text(status, module.name), Colour::kNotice}});
  }
  const std::string kept_out = kept_out_lines(status);
  return table.empty() && kept_out.empty() ? "" : "\nmodules\n" + table.render(palette, "  ") + kept_out;
}

/// Those that are gone and had one name on one host.
struct Gone {
  const ExecutorStatus* last = nullptr;
  std::uint64_t times = 0;
};

using NameAndHost = std::pair<std::string_view, std::string_view>;

NameAndHost name_of(const ExecutorStatus& executor) {
  return {executor.identity.name, executor.identity.host};
}

/// In the order in which the first of each went.
std::vector<Gone> group_gone(const StatusReply& status) {
  std::vector<Gone> groups;
  std::map<NameAndHost, std::size_t> places;
  for (const ExecutorStatus& executor : status.executors) {
    if (executor.state != ExecutorState::kGone) continue;
    const auto [place, fresh] = places.try_emplace(name_of(executor), groups.size());
    if (fresh) groups.emplace_back();
    Gone& group = groups[place->second];
    group.last = &executor;  // the daemon tells them in the order in which they went
    ++group.times;
  }
  return groups;
}

std::string how_often(const Gone& gone) {
  return (gone.times == 1 ? "once" : std::to_string(gone.times) + " times") + " in the last " +
         std::to_string(daemon::limits::kRememberLeaver.count()) + " min: " + printable(gone.last->detail);
}

/// What sets this executor apart; empty when it simply runs what is live. `before`: under its name.
std::string remark(const ExecutorStatus& executor, Epoch committed, const Gone* before) {
  std::string text = printable(executor.detail);
  const auto add = [&](const std::string& more) { text += (text.empty() ? "" : "; ") + more; };
  // Of one that is stale the daemon says so itself.
  const bool told = executor.state == ExecutorState::kStale && !executor.detail.empty();
  if (!told && is_there(executor) && executor.epoch != 0 && executor.epoch < committed) {
    add("behind by " + std::to_string(committed - executor.epoch));
  }
  for (const PinReport& pin : executor.pins) {
    if (pin.epoch == executor.epoch) continue;
    add("holds epoch " + std::to_string(pin.epoch) + " for " +
        human_duration(std::chrono::milliseconds(pin.age_ms)));
  }
  if (executor.retired_bytes > 0) add(human_size(executor.retired_bytes) + " cannot be unloaded");
  if (before != nullptr) add("gone " + how_often(*before));
  return text;
}

std::string executor_lines(const StatusReply& status, StatusOrder order, const Palette& palette) {
  struct Row {
    const ExecutorStatus* executor;
    std::string remarks;
    /// Members by name, then those that are gone.
    std::pair<bool, std::vector<std::pair<std::string, std::uint64_t>>> place;
  };
  std::vector<Row> rows;
  std::map<NameAndHost, std::vector<const ExecutorStatus*>> members;
  for (const ExecutorStatus& executor : status.executors) {
    if (executor.state != ExecutorState::kGone) members[name_of(executor)].push_back(&executor);
  }
  // Whose name one member alone has, that one has come after it.
  std::map<const ExecutorStatus*, Gone> before;
  std::vector<Gone> nobody_since;
  for (const Gone& gone : group_gone(status)) {
    const auto named = members.find(name_of(*gone.last));
    if (named != members.end() && named->second.size() == 1) {
      before[named->second.front()] = gone;
    } else {
      nobody_since.push_back(gone);
    }
  }
  for (const ExecutorStatus& executor : status.executors) {
    if (executor.state == ExecutorState::kGone) continue;
    const auto found = before.find(&executor);
    const Gone* namesake = found == before.end() ? nullptr : &found->second;
    rows.push_back({&executor,
                    remark(executor, status.committed_epoch, namesake),
                    {false, people_order(executor.identity.name)}});
  }
  for (const Gone& gone : nobody_since)
    rows.push_back({gone.last, gone.times == 1 ? printable(gone.last->detail) : how_often(gone), {true, {}}});
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.place < b.place; });
  if (order == StatusOrder::kNewsFirst) {
    std::stable_partition(rows.begin(), rows.end(), [](const Row& row) {
      return row.executor->state != ExecutorState::kLive || !row.remarks.empty();
    });
  }
  Table table;
  for (Row& row : rows) {
    const ExecutorIdentity& who = row.executor->identity;
    table.add({{printable(who.name)},
               {std::string(to_string(row.executor->state)), colour_of(row.executor->state)},
               {epoch_text(row.executor->epoch)},
               {"pid " + std::to_string(who.pid) + " on " + printable(who.host), Colour::kDim},
               {std::move(row.remarks), Colour::kNotice}});
  }
  return table.empty() ? "" : "\nexecutors\n" + table.render(palette, "  ");
}

/// The bytes of modules that have left the daemon; nothing when none have.
std::string transfer_line(const TransferReport& sent, const Palette& palette) {
  const std::uint64_t encoded = sent.zstd_bytes + sent.patch_bytes;
  const std::uint64_t all = sent.announced_bytes + sent.plain_bytes + encoded;
  if (all == 0) return "";
  std::string text = "sent " + human_size(all) + " of modules since it started";
  if (sent.saved_bytes > 0) {
    text += ", " + human_size(encoded) + " of it as patches or compressed, which saved " +
            human_size(sent.saved_bytes);
  }
  return palette.paint(Colour::kDim, text) + "\n";
}

}  // namespace

Epoch not_live(const StatusReply& status) {
  if (status.refused != 0) return status.refused;
  return status.epoch > status.committed_epoch ? status.epoch : 0;
}

StatusParts status_parts(const StatusReply& status, bool pending, const std::optional<HistoryEntry>& past,
                         StatusOrder order, const Palette& palette, WallTime now) {
  // Announced after the question what is pending, and perhaps committed after the one for the status.
  const bool undecided = pending || (past && past->state != EpochState::kAborted);
  return {headline(status, undecided, past, palette) +
              palette.paint(Colour::kDim, printable(status.directory) + "  " + printable(status.backend) +
                                              "  " + printable(status.endpoint) + "  pid " +
                                              std::to_string(status.pid)) +
              "\n" + transfer_line(status.transfers, palette),
          module_lines(status, order, palette, now), executor_lines(status, order, palette)};
}

std::string status_text(const StatusReply& status, bool pending, const std::optional<HistoryEntry>& past,
                        const Palette& palette, WallTime now) {
  const StatusParts parts = status_parts(status, pending, past, StatusOrder::kByName, palette, now);
  return parts.head + parts.modules + parts.executors;
}

}  // namespace moddev::tools
