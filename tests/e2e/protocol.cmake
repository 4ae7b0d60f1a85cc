# A client in another language against the daemon's own sockets. Debian's python3-zmq and python3-msgpack belong to
# /usr/bin/python3, whatever 'python3' is first in PATH.
moddev_add_test(protocol_follow_test
  SOURCES
    e2e/protocol/follow_test.cc
  LIBRARIES moddev_support_service
  KIND e2e)
target_compile_definitions(protocol_follow_test PRIVATE
  MODDEV_FOLLOW="/usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/protocol/follow.py")
