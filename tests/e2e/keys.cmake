# Nobody gets in: keys, lists and rules with the real program.
add_executable(keys_c_check e2e/keys/c_keys_check.c)
target_link_libraries(keys_c_check PRIVATE moddev_c)
target_compile_options(keys_c_check PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)

moddev_add_test(keys_e2e_test
  SOURCES
    e2e/keys/client_keys_test.cc
    e2e/keys/audit_test.cc
    e2e/keys/key_commands_test.cc
    e2e/keys/strangers_test.cc
  LIBRARIES moddev_e2e_tools
  KIND e2e
  TIMEOUT 180)
add_dependencies(keys_e2e_test keys_c_check)
target_compile_definitions(keys_e2e_test PRIVATE MODDEV_C_KEYS_CHECK="$<TARGET_FILE:keys_c_check>")

if(TARGET moddev)
  foreach(test two_machines rotation other_user seven_refusals hidden_module)
    add_test(NAME keys_${test}
      COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/keys/${test}_test.py
        --moddev $<TARGET_FILE:moddev> --compiler ${CMAKE_C_COMPILER})
    set_tests_properties(keys_${test} PROPERTIES LABELS e2e TIMEOUT 180 SKIP_RETURN_CODE 77)
  endforeach()
endif()

moddev_add_test(keys_signed_test
  SOURCES
    e2e/keys/signed_test.cc
  LIBRARIES moddev_e2e_tools
  KIND e2e
  TIMEOUT 180)
