find_package(msgpack REQUIRED)

moddev_add_test(protocol_codec_test
  SOURCES
    unit/protocol/codec_test.cc
    unit/protocol/golden_test.cc
  LIBRARIES moddev_support_protocol msgpackc-cxx
  LABELS unit asan)
target_compile_definitions(protocol_codec_test PRIVATE MODDEV_GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden")
