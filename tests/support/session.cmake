# A link and a loader in memory, for tests of the session and for the simulation; a daemon that plays what a
# test tells it, in memory or behind sockets; and the real one as a process.
find_package(cppzmq REQUIRED)
add_library(moddev_support_session STATIC
  support/session/fake_loader.cc
  support/session/script_daemon.cc
  support/session/watch_process.cc
  support/session/zmq_daemon.cc)
target_link_libraries(moddev_support_session PUBLIC moddev_client cppzmq PRIVATE moddev_build_flags)
