# Recording an epoch beside raw SQLite.
find_package(SQLite3 REQUIRED)
add_executable(state_journal_bench bench/state/journal_bench.cc)
target_link_libraries(state_journal_bench PRIVATE moddev_daemon SQLite::SQLite3 moddev_build_flags)
target_include_directories(state_journal_bench PRIVATE ${PROJECT_SOURCE_DIR})
