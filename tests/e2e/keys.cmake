# Nobody gets in: keys, lists and rules with the real program.
moddev_add_test(keys_e2e_test
  SOURCES
    e2e/keys/key_commands_test.cc
    e2e/keys/strangers_test.cc
  LIBRARIES moddev_e2e_tools
  KIND e2e
  TIMEOUT 120)

if(TARGET moddev)
  add_test(NAME keys_two_machines
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/keys/two_machines_test.py
      --moddev $<TARGET_FILE:moddev> --compiler ${CMAKE_C_COMPILER})
  set_tests_properties(keys_two_machines PROPERTIES LABELS e2e TIMEOUT 180 SKIP_RETURN_CODE 77)
endif()

moddev_add_test(keys_signed_test
  SOURCES
    e2e/keys/signed_test.cc
  LIBRARIES moddev_e2e_tools
  KIND e2e
  TIMEOUT 180)
