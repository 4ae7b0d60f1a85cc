// The seam between one client and the others that share its cache: who fetches what, and what must not be
// collected. Implementations: host_cache (locks and a mapped file), tests.
#pragma once

#include <memory>
#include <vector>

#include "protocol/digest.h"

namespace moddev::client {

class CacheUse {
 public:
  virtual ~CacheUse() = default;
  /// Whether this client is the one that fetches the blob now. If not, somebody else does: look again in a
  /// moment, for it may be in the cache, or he may have gone. Repeating it is harmless.
  virtual bool begin_fetch(const Digest& digest) = 0;
  virtual void end_fetch(const Digest& digest) = 0;
  /// From now on this client needs these, and no others. Before they are looked for in the cache.
  virtual void use(const std::vector<Digest>& digests) = 0;
};

}  // namespace moddev::client
