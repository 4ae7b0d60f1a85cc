# Builds real libraries while a test runs, and loads them through the real loader.
add_library(moddev_support_loading STATIC
  support/loading/executor.cc
  support/loading/workshop.cc)
target_link_libraries(moddev_support_loading PUBLIC moddev_client PRIVATE moddev_build_flags)
target_compile_definitions(moddev_support_loading PRIVATE
  MODDEV_C_COMPILER="${CMAKE_C_COMPILER}" MODDEV_CXX_COMPILER="${CMAKE_CXX_COMPILER}")
