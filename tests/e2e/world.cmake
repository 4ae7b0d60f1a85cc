# Real processes: `moddev watch` and `moddev executor`, killed, stopped and starved. Plain programs of Python's standard
# library; each prints what it saw, and takes --help.
if(TARGET moddev)
  foreach(test bad_link chaos crowd full_disk hostile_daemon hostile_peers kills rebuilds refusal restarts stopped strangers)
    add_test(NAME world_${test}
      COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/world/${test}_test.py
        --moddev $<TARGET_FILE:moddev> --compiler ${CMAKE_C_COMPILER})
    set_tests_properties(world_${test} PROPERTIES LABELS e2e TIMEOUT 180 SKIP_RETURN_CODE 77)
  endforeach()
endif()
