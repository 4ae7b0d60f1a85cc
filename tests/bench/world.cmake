# edit_to_live and crowd, with what they need: executors, modules, and the moddev program.
if(TARGET moddev)
  foreach(size 4k 64k)
    moddev_add_module(world_bench_module_${size} bench/world/module.c)
    # Only the size is of interest here: no start files, no padding to pages, no debug information.
    target_link_options(world_bench_module_${size} PRIVATE
      -nostdlib -s -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,-z,max-page-size=4096)
  endforeach()
  target_compile_definitions(world_bench_module_4k PRIVATE MODDEV_BENCH_BALLAST=1760)
  target_compile_definitions(world_bench_module_64k PRIVATE MODDEV_BENCH_BALLAST=63200)

  add_executable(world_bench_executor bench/world/executor.cc)
  target_link_libraries(world_bench_executor PRIVATE moddev_client moddev_build_flags)
  target_include_directories(world_bench_executor PRIVATE ${PROJECT_SOURCE_DIR})

  add_executable(world_edit_to_live_bench
    bench/world/children.cc
    bench/world/edit_to_live.cc
    bench/world/peers.cc
    bench/world/price.cc)
  target_link_libraries(world_edit_to_live_bench PRIVATE cppzmq moddev_build_flags)
  target_include_directories(world_edit_to_live_bench PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(world_edit_to_live_bench PRIVATE
    MODDEV_BENCH_SOURCE="${CMAKE_CURRENT_SOURCE_DIR}/bench/world"
    MODDEV_BENCH_EXECUTOR="$<TARGET_FILE:world_bench_executor>"
    MODDEV_BENCH_MODULE_4K="$<TARGET_FILE:world_bench_module_4k>"
    MODDEV_BENCH_MODULE_64K="$<TARGET_FILE:world_bench_module_64k>"
    MODDEV_BENCH_WATCH="$<TARGET_FILE:moddev>")
  add_executable(world_crowd_bench
    bench/world/children.cc
    bench/world/crowd.cc
    bench/world/crowd_bench.cc)
  target_link_libraries(world_crowd_bench PRIVATE moddev_support_world cppzmq moddev_build_flags)
  target_include_directories(world_crowd_bench PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(world_crowd_bench PRIVATE MODDEV_BENCH_WATCH="$<TARGET_FILE:moddev>")
  add_dependencies(world_crowd_bench moddev)

  add_dependencies(world_edit_to_live_bench
    moddev world_bench_executor world_bench_module_4k world_bench_module_64k)
endif()
