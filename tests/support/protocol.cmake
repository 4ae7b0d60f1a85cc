# One message of every type, for the golden files, the round trips and the seeds of the fuzzers.
add_library(moddev_support_protocol STATIC
  support/protocol/sample_messages.cc)
target_link_libraries(moddev_support_protocol PUBLIC moddev_protocol PRIVATE moddev_build_flags)
target_include_directories(moddev_support_protocol PUBLIC ${PROJECT_SOURCE_DIR})
