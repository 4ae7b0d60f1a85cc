# Transports and clients for the daemon's tests.
find_package(cppzmq REQUIRED)
add_library(moddev_support_service STATIC
  support/service/fake_transport.cc
  support/service/raw_zmq.cc
  support/service/scripted_feed.cc)
target_link_libraries(moddev_support_service PUBLIC moddev_daemon cppzmq PRIVATE moddev_build_flags)
