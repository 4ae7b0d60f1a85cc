# Keys, whom they belong to, and what their owners may do.
moddev_add_test(keys_unit_test
  SOURCES
    unit/keys/access_test.cc
    unit/keys/doors_test.cc
    unit/keys/key_files_test.cc
    unit/keys/speakers_test.cc
  LIBRARIES moddev_daemon
  KIND unit SANITIZE asan)

moddev_add_test(keys_audit_test
  SOURCES
    unit/keys/audit_log_test.cc
    unit/keys/audit_daemon_test.cc
    unit/keys/stream_guard_test.cc
  LIBRARIES moddev_support_service
  KIND unit SANITIZE asan)
