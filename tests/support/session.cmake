# A link and a loader in memory, for tests of the session and for the simulation; and a daemon that plays what
# a test tells it.
add_library(moddev_support_session STATIC
  support/session/fake_loader.cc
  support/session/script_daemon.cc)
target_link_libraries(moddev_support_session PUBLIC moddev_client PRIVATE moddev_build_flags)
