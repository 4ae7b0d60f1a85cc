# "asan": everything that does not depend on time. The core is single-threaded: nothing here is for TSan.
moddev_add_test(watcher_unit_test
  SOURCES
    unit/watcher/decode_test.cc
    unit/watcher/limits_test.cc
    unit/watcher/proof_memory_test.cc
    unit/watcher/watcher_barrier_test.cc
    unit/watcher/watcher_model_test.cc
    unit/watcher/watcher_test.cc
    unit/watcher/watcher_tree_test.cc
  LIBRARIES moddev_support_watcher
  KIND unit SANITIZE asan)

moddev_add_test(watcher_real_test
  SOURCES
    unit/watcher/degraded_test.cc
    unit/watcher/disk_model_test.cc
    unit/watcher/doctor_test.cc
    unit/watcher/real_watcher_test.cc
  LIBRARIES moddev_support_watcher
  KIND unit SANITIZE asan)

moddev_add_test(watcher_linker_test
  SOURCES
    unit/watcher/linker_test.cc
    unit/watcher/writers_test.cc
  LIBRARIES moddev_support_watcher
  KIND unit)
