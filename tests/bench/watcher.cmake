# What the watcher costs beside the raw primitives, measured in the same run. Plain programs: run them on a
# quiet machine.
foreach(bench big_tree burst hot_path)
  add_executable(watcher_${bench}_bench bench/watcher/${bench}_bench.cc)
  target_link_libraries(watcher_${bench}_bench PRIVATE moddev_support_watcher moddev_build_flags)
endforeach()
