moddev_add_test(service_unit_test
  SOURCES
    support/world/tiny_library.cc
    unit/service/daemon_policy_test.cc
    unit/service/daemon_refusal_test.cc
    unit/service/daemon_rejoin_test.cc
    unit/service/daemon_return_test.cc
    unit/service/daemon_runs_test.cc
    unit/service/daemon_test.cc
    unit/service/endpoint_test.cc
    unit/service/file_lock_test.cc
    unit/service/fleet_canary_test.cc
    unit/service/fleet_joining_test.cc
    unit/service/fleet_loss_test.cc
    unit/service/fleet_model_test.cc
    unit/service/fleet_policy_test.cc
    unit/service/fleet_refusal_test.cc
    unit/service/fleet_test.cc
    unit/service/policy_test.cc
    unit/service/signing_test.cc
    unit/service/socket_loop_test.cc
  LIBRARIES moddev_support_service
  KIND unit SANITIZE asan)

moddev_add_test(service_loop_test
  SOURCES
    unit/service/event_loop_test.cc
  LIBRARIES moddev_support_service
  KIND unit SANITIZE asan tsan)

# Daemon and watcher together.
moddev_add_test(service_build_test
  SOURCES
    unit/service/build_test.cc
  LIBRARIES moddev_support_service moddev_support_watcher
  KIND unit SANITIZE asan)
