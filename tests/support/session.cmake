# A link and a loader in memory, for tests of the session and for the simulation.
add_library(moddev_support_session STATIC
  support/session/fake_loader.cc)
target_link_libraries(moddev_support_session PUBLIC moddev_client PRIVATE moddev_build_flags)
