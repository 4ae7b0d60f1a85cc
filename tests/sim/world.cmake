# The deterministic simulation. moddev_sim runs any range of seeds; the test runs a few hundred fixed ones.
add_library(moddev_simulation STATIC
  sim/checkers.cc
  sim/daemon_process.cc
  sim/executor_process.cc
  sim/simulation.cc
  sim/simulation_faults.cc
  sim/weather.cc
  support/state/power_cut.cc)
find_package(SQLite3 REQUIRED)
target_link_libraries(moddev_simulation PUBLIC moddev_support_world PRIVATE SQLite::SQLite3 moddev_build_flags)

add_executable(moddev_sim sim/main.cc)
target_link_libraries(moddev_sim PRIVATE moddev_simulation moddev_build_flags)

moddev_add_test(world_simulation_test
  SOURCES sim/world/simulation_test.cc
  LIBRARIES moddev_simulation
  KIND sim SANITIZE asan
  TIMEOUT 300)
