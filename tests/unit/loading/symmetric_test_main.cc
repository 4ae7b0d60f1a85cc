// The tests of the view store once more, as on a kernel without membarrier(2).
#include <gtest/gtest.h>

#include "client/src/pin_slots.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  moddev::pin_slots::initialise(false);
  return moddev::pin_slots::g_asymmetric ? 1 : RUN_ALL_TESTS();
}
