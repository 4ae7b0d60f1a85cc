# Bytes and time of moving modules. Plain programs: they print ratios, and are run by hand.
add_executable(edit_transfer_bench bench/session/edit_transfer_bench.cc)
target_link_libraries(edit_transfer_bench PRIVATE moddev_protocol moddev_build_flags)
target_include_directories(edit_transfer_bench PRIVATE ${PROJECT_SOURCE_DIR})
if(TARGET moddev)
  add_executable(blob_transfer_bench
    bench/session/blob_transfer_bench.cc
    bench/world/children.cc)
  target_link_libraries(blob_transfer_bench PRIVATE moddev_client cppzmq moddev_build_flags)
  target_include_directories(blob_transfer_bench PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(blob_transfer_bench PRIVATE MODDEV_BENCH_WATCH="$<TARGET_FILE:moddev>")
  add_dependencies(blob_transfer_bench moddev)
endif()
