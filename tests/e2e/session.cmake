# What the headers promise, on the real daemon: the example at the top of client.h is taken out of it, compiled as a
# user would, and run.
if(TARGET moddev)
  set(session_header ${PROJECT_SOURCE_DIR}/client/include/moddev/client.h)
  set(session_sed ${CMAKE_CURRENT_SOURCE_DIR}/e2e/session/example.sed)
  set(session_example ${CMAKE_CURRENT_BINARY_DIR}/session_header_example.cc)
  add_custom_command(OUTPUT ${session_example}
    COMMAND sed -n -f ${session_sed} ${session_header} > ${session_example}
    DEPENDS ${session_header} ${session_sed})
  add_executable(session_header_example ${session_example})
  target_link_libraries(session_header_example PRIVATE moddev_client)

  # C, warnings as strict as ours; it knows the shared library only.
  add_executable(session_print_score ${PROJECT_SOURCE_DIR}/client/examples/print_score.c)
  target_link_libraries(session_print_score PRIVATE moddev_c)
  target_compile_options(session_print_score PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
  add_executable(session_c_api_check e2e/session/c_api_check.c)
  target_link_libraries(session_c_api_check PRIVATE moddev_c)
  target_compile_options(session_c_api_check PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)

  add_executable(session_c_api_throwing e2e/session/c_api_throwing.cc)
  target_link_libraries(session_c_api_throwing PRIVATE moddev_c moddev_build_flags)

  moddev_add_test(session_e2e_test
    SOURCES
      e2e/session/c_api_test.cc
      e2e/session/example_test.cc
      e2e/session/standalone_test.cc
    LIBRARIES moddev_support_session moddev_standalone
    KIND e2e)
  add_dependencies(session_e2e_test moddev session_c_api_check session_c_api_throwing session_header_example session_print_score)
  target_compile_definitions(session_e2e_test PRIVATE
    MODDEV_C_API_CHECK="$<TARGET_FILE:session_c_api_check>"
    MODDEV_C_API_THROWING="$<TARGET_FILE:session_c_api_throwing>"
    MODDEV_PRINT_SCORE="$<TARGET_FILE:session_print_score>"
    MODDEV_PROGRAM="$<TARGET_FILE:moddev>"
    MODDEV_HEADER_EXAMPLE="$<TARGET_FILE:session_header_example>")
endif()
