// What program and module share. The compiler describes the layout of these types in both; a module whose
// description is not the program's is refused, with the difference.
#pragma once

#include <moddev/interface.h>

namespace shop {

struct Order {
  long id;
  double weight;
};
MODDEV_LAYOUT(Order, id, weight)

struct Scoring {
  double (*score)(const Order&);
  double limit;
};
MODDEV_INTERFACE(Scoring, score, limit)

}  // namespace shop
