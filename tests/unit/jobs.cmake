moddev_add_test(jobs_supervisor_test
  SOURCES
    unit/jobs/follower_test.cc
    unit/jobs/rules_test.cc
    unit/jobs/supervisor_test.cc
  LIBRARIES moddev_supervisor moddev_support_session
  KIND unit SANITIZE asan)

moddev_add_test(jobs_pin_epoch_test
  SOURCES
    unit/jobs/pin_epoch_test.cc
  LIBRARIES moddev_support_session
  KIND unit SANITIZE asan)

if(TARGET moddev_program)
  moddev_add_test(jobs_story_test
    SOURCES
      unit/jobs/story_test.cc
    LIBRARIES moddev_program
    KIND unit)
endif()
