moddev_add_test(session_unit_test
  SOURCES
    unit/session/alive_test.cc
    unit/session/discovery_test.cc
    unit/session/epochs_test.cc
    unit/session/fetcher_test.cc
    unit/session/host_cache_test.cc
    unit/session/joining_test.cc
    unit/session/last_epoch_test.cc
    unit/session/late_answers_test.cc
    unit/session/requests_test.cc
    unit/session/runs_test.cc
    unit/session/session_trust_test.cc
    unit/session/trust_test.cc
  LIBRARIES moddev_support_session
  KIND unit SANITIZE asan)

moddev_add_test(session_client_test
  SOURCES
    unit/session/client_test.cc
  LIBRARIES moddev_support_session
  KIND unit SANITIZE asan tsan)

moddev_add_test(session_small_transfers_test
  SOURCES
    unit/session/small_transfers_test.cc
  LIBRARIES moddev_support_session moddev_daemon
  KIND unit SANITIZE asan)
