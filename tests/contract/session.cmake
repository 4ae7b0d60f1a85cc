moddev_add_test(session_zmq_test
  SOURCES
    contract/session/zmq_link_test.cc
  LIBRARIES moddev_support_session
  KIND contract SANITIZE asan)
