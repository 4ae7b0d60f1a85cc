moddev_add_test(loading_view_test
  SOURCES
    unit/loading/runs_test.cc
    unit/loading/view_store_test.cc
  LIBRARIES moddev_client
  KIND unit SANITIZE asan tsan)

# The same without membarrier(2).
add_executable(loading_view_symmetric_test
  unit/loading/symmetric_test_main.cc
  unit/loading/runs_test.cc
  unit/loading/view_store_test.cc)
target_link_libraries(loading_view_symmetric_test PRIVATE moddev_client GTest::gmock GTest::gtest moddev_build_flags)
target_include_directories(loading_view_symmetric_test PRIVATE ${PROJECT_SOURCE_DIR})
gtest_discover_tests(loading_view_symmetric_test DISCOVERY_MODE PRE_TEST TEST_PREFIX Symmetric.
  PROPERTIES LABELS unit TIMEOUT 120)

moddev_add_test(loading_image_test
  SOURCES
    unit/loading/image_cache_test.cc
    unit/loading/image_rewrite_test.cc
    unit/loading/reload_obstacles_test.cc
    unit/loading/symbol_table_test.cc
  LIBRARIES moddev_support_loading
  KIND unit SANITIZE asan)

moddev_add_test(loading_loader_test
  SOURCES
    unit/loading/dlopen_alone_test.cc
    unit/loading/hooks_test.cc
    unit/loading/interfaces_test.cc
    unit/loading/loader_test.cc
    unit/loading/traps_test.cc
    unit/loading/trial_test.cc
  LIBRARIES moddev_support_loading
  KIND unit SANITIZE asan)
target_compile_definitions(loading_loader_test PRIVATE
  MODDEV_TEST_CXX_COMPILER="${CMAKE_CXX_COMPILER}" MODDEV_CLIENT_INCLUDE="${PROJECT_SOURCE_DIR}/client/include")

moddev_add_test(loading_stress_test
  SOURCES
    unit/loading/stress_test.cc
  LIBRARIES moddev_support_loading
  KIND unit SANITIZE asan tsan)

if(NOT MODDEV_SANITIZE)  # as a user's executor
  add_executable(loading_debuggee support/loading/debuggee.cc)
  target_link_libraries(loading_debuggee PRIVATE moddev_support_loading moddev_build_flags)
  target_include_directories(loading_debuggee PRIVATE ${PROJECT_SOURCE_DIR})
  moddev_add_test(loading_debugger_test
    SOURCES
      unit/loading/debugger_test.cc
    LIBRARIES moddev_support_loading
    KIND unit)
  add_dependencies(loading_debugger_test loading_debuggee)
  target_compile_definitions(loading_debugger_test PRIVATE MODDEV_DEBUGGEE="$<TARGET_FILE:loading_debuggee>")
endif()
