moddev_add_test(jobs_processes_test
  SOURCES
    contract/jobs/processes_contract_test.cc
  LIBRARIES moddev_supervisor
  KIND contract SANITIZE asan)
target_compile_definitions(jobs_processes_test PRIVATE MODDEV_TEST_WORKER="$<TARGET_FILE:jobs_worker>")
add_dependencies(jobs_processes_test jobs_worker)

moddev_add_test(jobs_results_test
  SOURCES
    contract/jobs/result_cache_contract_test.cc
  LIBRARIES moddev_results
  KIND contract SANITIZE asan tsan)
