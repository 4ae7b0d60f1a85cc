# The watcher's fakes, used by the simulation too, and its parts on a real disk.
add_library(moddev_support_watcher STATIC
  support/watcher/fake_event_source.cc
  support/watcher/fake_file_system.cc
  support/watcher/real_world.cc)
target_link_libraries(moddev_support_watcher PUBLIC moddev_watcher PRIVATE moddev_build_flags)
target_include_directories(moddev_support_watcher PUBLIC ${PROJECT_SOURCE_DIR})
