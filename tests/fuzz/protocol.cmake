# Every decoder of the protocol against bytes that somebody chose. As an ordinary test each target replays its
# corpus and a fixed number of mutations of it. With clang and libFuzzer the same targets search for more, under
# AddressSanitizer and UndefinedBehaviorSanitizer:
#   cmake --preset fuzz && ninja -C build/fuzz fuzz_protocol_messages
#   build/fuzz/tests/fuzz_protocol_messages -max_total_time=600 build/found tests/fuzz/protocol/corpus/messages

foreach(target elf_image manifest messages names patch statement)
  add_executable(fuzz_protocol_${target} fuzz/protocol/${target}_fuzz.cc)
  target_link_libraries(fuzz_protocol_${target} PRIVATE moddev_protocol moddev_build_flags)
  target_include_directories(fuzz_protocol_${target} PRIVATE ${PROJECT_SOURCE_DIR})
  if(MODDEV_LIBFUZZER)
    target_compile_options(fuzz_protocol_${target} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_protocol_${target} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_protocol_${target} PRIVATE support/protocol/fuzz_replay.cc)
    add_test(NAME fuzz_protocol_${target}
      COMMAND fuzz_protocol_${target} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/protocol/corpus/${target})
    set_tests_properties(fuzz_protocol_${target} PROPERTIES LABELS fuzz TIMEOUT 60)
  endif()
endforeach()
