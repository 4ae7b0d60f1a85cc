# What an executor has written down, as somebody else may have left it.
moddev_add_fuzzer(session_remembered SOURCES fuzz/session/remembered_fuzz.cc LIBRARIES moddev_client
  CORPUS fuzz/session/corpus/remembered)
