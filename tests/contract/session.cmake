# Whatever a daemon, or who pretends to be one, sends to a real client.
moddev_add_test(session_attacks_test
  SOURCES
    contract/session/attacks_test.cc
  LIBRARIES moddev_support_session
  KIND contract SANITIZE asan TIMEOUT 300)

moddev_add_test(session_zmq_test
  SOURCES
    contract/session/zmq_link_test.cc
  LIBRARIES moddev_support_session
  KIND contract SANITIZE asan)
