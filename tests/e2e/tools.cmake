# The real program, driven as people and scripts drive it.
find_package(nlohmann_json REQUIRED)
add_library(moddev_e2e_tools STATIC e2e/tools/program.cc)
target_include_directories(moddev_e2e_tools PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(moddev_e2e_tools PUBLIC nlohmann_json::nlohmann_json GTest::gtest PRIVATE moddev_build_flags)
target_compile_definitions(moddev_e2e_tools PRIVATE
  MODDEV_PROGRAM="$<TARGET_FILE:moddev>" MODDEV_CC="${CMAKE_C_COMPILER}")
add_dependencies(moddev_e2e_tools moddev)

moddev_add_test(tools_e2e_test
  SOURCES
    e2e/tools/bad_input_test.cc
    e2e/tools/build_test.cc
    e2e/tools/commands_test.cc
    e2e/tools/fetch_test.cc
    e2e/tools/history_test.cc
    e2e/tools/restart_test.cc
    e2e/tools/runs_test.cc
    e2e/tools/wait_test.cc
  LIBRARIES moddev_e2e_tools util
  KIND e2e
  TIMEOUT 120)
target_compile_definitions(tools_e2e_test PRIVATE MODDEV_VERSION="${PROJECT_VERSION}")

foreach(test symbols cache lost_bytes retention)
  add_test(NAME tools_${test}
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/tools/${test}_test.py
      --moddev $<TARGET_FILE:moddev> --compiler ${CMAKE_C_COMPILER})
  set_tests_properties(tools_${test} PROPERTIES LABELS e2e TIMEOUT 180)
endforeach()
