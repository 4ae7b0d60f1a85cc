# What a loader has to live through, in real processes: `moddev watch`, `moddev executor`, the real compiler.
if(TARGET moddev)
  foreach(test initialisers)
    add_test(NAME loading_${test}
      COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/loading/${test}_test.py
        --moddev $<TARGET_FILE:moddev> --compiler ${CMAKE_CXX_COMPILER})
    set_tests_properties(loading_${test} PROPERTIES LABELS e2e TIMEOUT 180 SKIP_RETURN_CODE 77)
  endforeach()

  add_executable(loading_worker_threads e2e/loading/worker_threads.cc)
  target_link_libraries(loading_worker_threads PRIVATE moddev_client)
  # In full: --rebuilds 1000.
  add_test(NAME loading_rebuilds
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/loading/thousand_rebuilds_test.py --rebuilds 100
      --moddev $<TARGET_FILE:moddev> --compiler ${CMAKE_C_COMPILER} --program $<TARGET_FILE:loading_worker_threads>)
  set_tests_properties(loading_rebuilds PROPERTIES LABELS e2e TIMEOUT 300)
endif()
