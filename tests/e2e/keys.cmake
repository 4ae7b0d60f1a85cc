# Nobody gets in: keys, lists and rules with the real program.
moddev_add_test(keys_e2e_test
  SOURCES
    e2e/keys/key_commands_test.cc
    e2e/keys/strangers_test.cc
  LIBRARIES moddev_e2e_tools
  KIND e2e
  TIMEOUT 120)
