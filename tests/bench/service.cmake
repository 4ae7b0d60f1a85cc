# What the daemon's core costs for a large fleet, without sockets and disk.
find_package(benchmark REQUIRED)
add_executable(service_fleet_bench bench/service/fleet_bench.cc)
target_link_libraries(service_fleet_bench PRIVATE moddev_support_service benchmark::benchmark moddev_build_flags)
target_include_directories(service_fleet_bench PRIVATE ${PROJECT_SOURCE_DIR})
