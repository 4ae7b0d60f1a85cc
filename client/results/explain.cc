#include "client/results/explain.h"

#include <algorithm>
#include <utility>

#include "protocol/digest.h"
#include "protocol/limits.h"

namespace moddev {

std::string_view to_string(Miss::Reason reason) {
  switch (reason) {
    case Miss::Reason::kNone:
      return "none";
    case Miss::Reason::kNeverSeen:
      return "never_seen";
    case Miss::Reason::kModuleChanged:
      return "module_changed";
    case Miss::Reason::kOtherArguments:
      return "other_arguments";
    case Miss::Reason::kEvicted:
      return "evicted";
  }
  return "never_seen";
}

namespace results {
namespace {

constexpr std::size_t kDigitsShown = 12;

std::string shortened(const std::string& digest) {
  constexpr std::string_view kPrefix = "sha256:";
  const std::size_t from = digest.starts_with(kPrefix) ? kPrefix.size() : 0;
  return digest.substr(from, kDigitsShown);
}

std::string describe(const std::vector<ChangedPart>& changed) {
  std::string text;
  std::size_t shown = 0;
  for (const ChangedPart& part : changed) {
    if (shown++ == kModulesShown)
      return text + " and " + std::to_string(changed.size() - kModulesShown) + " more";
    text += (text.empty() ? "" : ", ") + part.module;
    if (part.before.empty()) {
      text += " (new: " + shortened(part.now) + ")";
    } else if (part.now.empty()) {
      text += " (gone, was " + shortened(part.before) + ")";
    } else {
      text += " (was " + shortened(part.before) + ", is " + shortened(part.now) + ")";
    }
  }
  return text;
}

/// The differences to the code that differs in the fewest modules; the newest of these.
std::vector<ChangedPart> nearest(const std::vector<std::vector<ClosurePart>>& codes, const ResultKey& key) {
  std::vector<ChangedPart> best;
  bool any = false;
  for (std::size_t i = 0; i < std::min(codes.size(), kCodesCompared); ++i) {
    std::vector<ChangedPart> one = differences(codes[i], key.parts);
    if (any && one.size() >= best.size()) continue;
    best = std::move(one);
    any = true;
  }
  return best;
}

}  // namespace

std::vector<ChangedPart> differences(const std::vector<ClosurePart>& before,
                                     const std::vector<ClosurePart>& now) {
  std::vector<ChangedPart> changed;
  auto b = before.begin();
  auto n = now.begin();
  while (b != before.end() || n != now.end()) {
    if (n == now.end() || (b != before.end() && b->module < n->module)) {
      changed.push_back({b->module, b->digest, ""});
      ++b;
    } else if (b == before.end() || n->module < b->module) {
      changed.push_back({n->module, "", n->digest});
      ++n;
    } else {
      if (b->digest != n->digest) changed.push_back({n->module, b->digest, n->digest});
      ++b;
      ++n;
    }
  }
  return changed;
}

Miss explain(const ResultKey& key, const Neighbours& neighbours) {
  const std::string what = key.module + ":" + key.symbol;
  Miss miss;
  if (neighbours.present) {
    miss.reason = Miss::Reason::kNone;
    miss.message = "The result of " + what + " is there.";
  } else if (neighbours.evicted) {
    miss.reason = Miss::Reason::kEvicted;
    miss.message = "The result of " + what +
                   " was there and went to make room. A larger cache (ResultCacheLimits) keeps more.";
  } else if (!neighbours.same_arguments.empty()) {
    miss.reason = Miss::Reason::kModuleChanged;
    miss.changed = nearest(neighbours.same_arguments, key);
    miss.message = "The code of " + what +
                   " has changed since it was called with these arguments: " + describe(miss.changed) + ".";
  } else if (neighbours.same_code) {
    miss.reason = Miss::Reason::kOtherArguments;
    miss.message = what + " is known in this version, but not with these arguments.";
  } else if (!neighbours.same_symbol.empty()) {
    miss.reason = Miss::Reason::kOtherArguments;
    miss.changed = nearest(neighbours.same_symbol, key);
    miss.message =
        what + " was never called with these arguments; its code has changed too: " + describe(miss.changed) +
        ".";
  } else {
    miss.reason = Miss::Reason::kNeverSeen;
    miss.message = "No result of " + what + " is known.";
  }
  return miss;
}

std::string identity_of(const ResultKey& key) {
  // Names hold no line breaks (validate), so lines separate without ambiguity.
  return digest_of("moddev result 1\n" + key.closure + "\n" + key.module + "\n" + key.symbol + "\n" +
                   key.arguments)
      .hex();
}

Status validate(const ResultKey& key) {
  const auto wrong = [](std::string what) { return Error{ErrorCode::kInvalidArgument, std::move(what), 0}; };
  if (key.module.empty()) return wrong("A result key needs a module.");
  if (key.symbol.empty() || key.symbol.size() > moddev::limits::kTextBytes ||
      key.symbol.find('\n') != std::string::npos || key.symbol.find('\0') != std::string::npos) {
    return wrong("A result key needs a symbol of at most " + std::to_string(moddev::limits::kTextBytes) +
                 " bytes (kTextBytes), without line breaks.");
  }
  if (!Digest::parse(key.closure) || !Digest::parse(key.arguments)) {
    return wrong("The digests of a result key are written as sha256: and 64 hexadecimal digits.");
  }
  return {};
}

}  // namespace results
}  // namespace moddev
