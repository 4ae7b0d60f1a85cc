// What the benchmark's executors call. The driver writes a copy with another answer for each round, in place of
// a compiler: it looks for the bytes of the answer below. kBallast makes the library as large as its name says.
#include <moddev/module.h>

static const volatile long long kAnswer = 0x6D6F646465765F61;
const char bench_ballast[MODDEV_BENCH_BALLAST] = {1};

MODDEV_EXPORT long long answer(void) {
  return kAnswer;
}
