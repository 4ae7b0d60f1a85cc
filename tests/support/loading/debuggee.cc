// Loads the libraries of its arguments as versions of one module, holds all but the last by pins, and calls
// the first and the last when all are there: for a debugger to stop in. The first argument is the directory
// for images.
#include "protocol/result.h"
#include "tests/support/loading/executor.h"
#include "tests/support/loading/workshop.h"

extern "C" __attribute__((noinline)) void all_versions_are_loaded() {
  __asm__ volatile("");
}

int main(int argc, char** argv) {
  moddev::testing::Executor executor(argv[1]);
  moddev::testing::Repository repository;
  std::vector<moddev::Pin> held;
  for (int i = 2; i < argc; ++i) {
    repository.native("scorer", moddev::testing::read_file(argv[i]));
    MODDEV_ASSERT(executor.advance(repository).empty(), "the library loads");
    held.push_back(executor.pin());
  }
  all_versions_are_loaded();
  const long first = (*held.front().function<long()>("scorer", "answer"))();
  return first == 41 && executor.call("scorer") == 40 + argc - 2 ? 0 : 1;
}
