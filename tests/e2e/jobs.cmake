# An HTTP server under load through changes, by cycling and by reload; and the example of --help.
if(TARGET moddev)
  add_executable(jobs_server e2e/jobs/server.cc)
  target_link_libraries(jobs_server PRIVATE moddev_client moddev_build_flags)
  foreach(way cycling reloading rules example)
    add_test(NAME jobs_supervise_${way}
      COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/jobs/supervise_test.py ${way}
        --moddev $<TARGET_FILE:moddev> --compiler ${CMAKE_C_COMPILER} --server $<TARGET_FILE:jobs_server>)
    set_tests_properties(jobs_supervise_${way} PROPERTIES LABELS e2e TIMEOUT 180)
  endforeach()

  # Jobs over several executors during rebuilds.
  add_executable(jobs_executor e2e/jobs/job_executor.cc)
  target_link_libraries(jobs_executor PRIVATE moddev_client moddev_build_flags)
  add_test(NAME jobs_one_epoch
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/jobs/job_test.py
      --moddev $<TARGET_FILE:moddev> --compiler ${CMAKE_C_COMPILER} --executor $<TARGET_FILE:jobs_executor>)
  set_tests_properties(jobs_one_epoch PROPERTIES LABELS e2e TIMEOUT 180)
endif()
