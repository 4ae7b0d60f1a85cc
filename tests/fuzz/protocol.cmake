# Every decoder of the protocol against bytes that somebody chose. As an ordinary test each target replays its
# corpus and a fixed number of mutations of it. With clang and libFuzzer the same targets search for more, under
# AddressSanitizer and UndefinedBehaviorSanitizer:
#   cmake --preset fuzz && ninja -C build/fuzz fuzz_protocol_messages
#   build/fuzz/tests/fuzz_protocol_messages -max_total_time=600 build/found tests/fuzz/protocol/corpus/messages

# moddev_add_fuzzer(NAME SOURCES ... LIBRARIES ... CORPUS directory): the executable and test fuzz_NAME.
function(moddev_add_fuzzer name)
  cmake_parse_arguments(ARG "" "CORPUS" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(fuzz_${name} ${ARG_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_LIBRARIES} moddev_build_flags)
  target_include_directories(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR})
  if(MODDEV_LIBFUZZER)
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${name} PRIVATE support/protocol/fuzz_replay.cc)
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_CORPUS})
    set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz TIMEOUT 120)
  endif()
endfunction()

foreach(target elf_image key_files manifest messages names patch statement)
  moddev_add_fuzzer(protocol_${target} SOURCES fuzz/protocol/${target}_fuzz.cc LIBRARIES moddev_protocol
    CORPUS fuzz/protocol/corpus/${target})
endforeach()
