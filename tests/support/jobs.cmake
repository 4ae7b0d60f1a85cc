# A worker that behaves as it is told, for tests on real processes.
add_executable(jobs_worker support/jobs/worker.cc)
target_link_libraries(jobs_worker PRIVATE moddev_build_flags)
