#include "daemon/policy.h"

namespace moddev::daemon {
namespace {

Verdict decide_all(const Tally& tally) {
  // The outcome is known with the first refusal; the short wait only collects the reasons of the others, so
  // that a person reads all of them at once.
  if (tally.failed > 0) {
    return tally.silent == 0 || tally.refusal_grace_over ? Verdict::kAbort : Verdict::kWait;
  }
  if (tally.silent > 0) return Verdict::kWait;
  if (tally.prepared > 0) return Verdict::kCommit;
  // Everyone who was asked died over it: the content is suspect. Nobody was asked, or all said goodbye: there
  // is nobody whom it could hurt.
  return tally.excluded > 0 ? Verdict::kAbort : Verdict::kCommit;
}

}  // namespace

Verdict decide(SyncPolicy policy, const Tally& tally) {
  switch (policy) {
    case SyncPolicy::kAll:
      return decide_all(tally);
  }
  return Verdict::kWait;
}

}  // namespace moddev::daemon
