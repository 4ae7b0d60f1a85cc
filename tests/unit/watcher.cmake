moddev_add_test(watcher_unit_test
  SOURCES
    unit/watcher/watcher_test.cc
  LIBRARIES moddev_support_watcher
  LABELS unit asan)
