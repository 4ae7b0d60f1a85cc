find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
moddev_add_test(tools_unit_test
  SOURCES
    unit/tools/audit_view_test.cc
    unit/tools/config_test.cc
    unit/tools/epoch_fate_test.cc
    unit/tools/history_view_test.cc
    unit/tools/json_test.cc
    unit/tools/places_test.cc
    unit/tools/printer_test.cc
    unit/tools/refusals_test.cc
    unit/tools/requester_test.cc
    unit/tools/screen_test.cc
    unit/tools/stats_view_test.cc
    unit/tools/status_view_test.cc
    unit/tools/story_test.cc
    unit/tools/suggest_test.cc
    unit/tools/terminal_test.cc
    unit/tools/usage_test.cc
    unit/tools/wait_goal_test.cc
  LIBRARIES moddev_program moddev_support_session CLI11::CLI11
  KIND unit SANITIZE asan)

# Finding the source of an address, and what was kept.
moddev_add_test(tools_lookup_test
  SOURCES
    unit/tools/backtrace_line_test.cc
    unit/tools/journal_lookup_test.cc
  LIBRARIES moddev_program moddev_support_session
  KIND unit SANITIZE asan)
