# What names, bytes and files of the protocol cost, beside the bare primitives of the same run.
find_package(benchmark REQUIRED)
add_executable(protocol_bench bench/protocol/protocol_bench.cc)
target_link_libraries(protocol_bench PRIVATE moddev_support_protocol benchmark::benchmark moddev_build_flags)
target_include_directories(protocol_bench PRIVATE ${PROJECT_SOURCE_DIR})
