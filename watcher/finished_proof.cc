#include "watcher/finished_proof.h"

namespace moddev::watcher {

bool same_file(const FileStat& a, const FileStat& b, bool strict) {
  return a.device == b.device && a.inode == b.inode && a.size == b.size && a.mtime_ns == b.mtime_ns &&
         (!strict || a.ctime_ns == b.ctime_ns);
}

Verdict judge(const Look& look, const ProofContext& context) {
  if (!may_copy(look.lease)) return Verdict::kWriting;
  const bool leased = look.lease == LeaseState::kHeld;
  if (leased && look.lease_after != LeaseState::kHeld) return Verdict::kWriting;
  // Under a lease only names, modes and links can have changed: the change time may differ.
  const bool unchanged = same_file(look.before, look.after, !leased) && look.bytes == look.after.size;
  const bool still_there = look.path_after.has_value() && look.path_after->device == look.after.device &&
                           look.path_after->inode == look.after.inode;
  if (!unchanged || !still_there) return Verdict::kRestless;
  if (look.bytes == 0 && !context.empty_for_long) return Verdict::kEmpty;
  if (!look.incomplete.empty()) return Verdict::kTorn;
  if (leased) return Verdict::kFinished;
  const bool confirmed = context.earlier.has_value() && context.earlier->digest == look.digest &&
                         same_file(context.earlier->stat, look.before, true);
  return confirmed ? Verdict::kFinished : Verdict::kLookAgain;
}

}  // namespace moddev::watcher
