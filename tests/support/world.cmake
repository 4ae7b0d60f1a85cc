# The simulated world: network, loader, disk faults and the tools that write into the watched directory.
add_library(moddev_support_world STATIC
  support/world/sim_loader.cc
  support/world/sim_network.cc
  support/world/tiny_library.cc
  support/world/toolchain.cc)
target_link_libraries(moddev_support_world
  PUBLIC moddev_client moddev_daemon moddev_support_watcher
  PRIVATE moddev_build_flags)
target_include_directories(moddev_support_world PUBLIC ${PROJECT_SOURCE_DIR})
