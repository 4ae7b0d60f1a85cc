# The journal is also read and spoilt behind its back.
find_package(SQLite3 REQUIRED)

moddev_add_test(state_unit_test
  SOURCES
    support/state/power_cut.cc
    support/world/tiny_library.cc
    unit/state/catalog_test.cc
    unit/state/history_test.cc
    unit/state/journal_damage_test.cc
    unit/state/journal_kill_test.cc
    unit/state/journal_runs_test.cc
    unit/state/journal_schema_test.cc
    unit/state/journal_test.cc
    unit/state/power_cut_test.cc
    unit/state/retention_test.cc
    unit/state/rollback_test.cc
    unit/state/versioner_test.cc
  LIBRARIES moddev_support_service SQLite::SQLite3
  KIND unit SANITIZE asan
  TIMEOUT 120)
target_compile_definitions(state_unit_test PRIVATE MODDEV_GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden")
