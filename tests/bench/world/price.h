// What safety costs: edit_to_live and the fetch of a large blob with and without signatures and CURVE. All
// fleets are there at the same time and take turns within each round, so that whatever else the machine does
// falls on all of them alike; what is told are medians of the ratios within a round.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace moddev::bench {

struct PriceOptions {
  int rounds = 40;
  std::vector<std::size_t> executors{1, 8, 32};
  std::string directory = "/tmp";
  std::string runtime = "/dev/shm";
  std::string program;  // moddev
};

/// Prints a table.
void compare_prices(const PriceOptions& options);

}  // namespace moddev::bench
