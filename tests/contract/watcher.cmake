moddev_add_test(watcher_contract_test
  SOURCES
    contract/watcher/seams_contract_test.cc
  LIBRARIES moddev_support_watcher
  KIND contract SANITIZE asan)
