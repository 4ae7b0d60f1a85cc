# What a loader has to live through, in real processes: `moddev watch`, `moddev executor`, the real compiler.
if(TARGET moddev)
  foreach(test initialisers)
    add_test(NAME loading_${test}
      COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/loading/${test}_test.py
        --moddev $<TARGET_FILE:moddev> --compiler ${CMAKE_CXX_COMPILER})
    set_tests_properties(loading_${test} PROPERTIES LABELS e2e TIMEOUT 180 SKIP_RETURN_CODE 77)
  endforeach()
endif()
