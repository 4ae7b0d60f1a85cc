#include <moddev/module.h>

MODDEV_EXPORT long score(long x) {
  return 2 * x;
}
