# The `moddev` program: a library of its parts, so that tests can link them, and a main.
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(spdlog REQUIRED)
pkg_check_modules(libdw REQUIRED IMPORTED_TARGET libdw)

add_library(moddev_program STATIC
  moddev/asking.cc
  moddev/audit.cc
  moddev/audit_view.cc
  moddev/backtrace_line.cc
  moddev/build.cc
  moddev/cache.cc
  moddev/child.cc
  moddev/config.cc
  moddev/debug_lines.cc
  moddev/diagnostics.cc
  moddev/doctor.cc
  moddev/epoch_fate.cc
  moddev/executor.cc
  moddev/fetch.cc
  moddev/history.cc
  moddev/history_json.cc
  moddev/history_view.cc
  moddev/interrupt.cc
  moddev/json.cc
  moddev/keygen.cc
  moddev/numbers.cc
  moddev/outcome.cc
  moddev/output_file.cc
  moddev/places.cc
  moddev/printer.cc
  moddev/refresh.cc
  moddev/refusals.cc
  moddev/retained_files.cc
  moddev/screen.cc
  moddev/stats_view.cc
  moddev/status.cc
  moddev/status_view.cc
  moddev/story.cc
  moddev/supervise.cc
  moddev/supervise_story.cc
  moddev/symbols.cc
  moddev/terminal.cc
  moddev/trust.cc
  moddev/usage.cc
  moddev/wait.cc
  moddev/wait_goal.cc
  moddev/watch.cc)
target_include_directories(moddev_program PUBLIC ${PROJECT_SOURCE_DIR})
target_compile_definitions(moddev_program PUBLIC MODDEV_VERSION="${PROJECT_VERSION}")
target_link_libraries(moddev_program
  PUBLIC moddev_client moddev_daemon moddev_supervisor moddev_watcher
  PRIVATE
    CLI11::CLI11
    nlohmann_json::nlohmann_json
    PkgConfig::libdw
    spdlog::spdlog
    moddev_build_flags)

add_executable(moddev moddev/main.cc)
target_link_libraries(moddev PRIVATE moddev_program CLI11::CLI11 moddev_build_flags)
install(TARGETS moddev RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# The service of a user that watches one directory; systemd.unit(5) looks for those of packages there.
configure_file(packaging/moddev@.service.in ${PROJECT_BINARY_DIR}/package/moddev@.service @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/moddev@.service DESTINATION lib/systemd/user)
