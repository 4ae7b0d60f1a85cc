find_package(msgpack REQUIRED)

moddev_add_test(protocol_codec_test
  SOURCES
    unit/protocol/codec_test.cc
    unit/protocol/golden_test.cc
  LIBRARIES moddev_support_protocol msgpackc-cxx
  KIND unit SANITIZE asan)
target_compile_definitions(protocol_codec_test PRIVATE MODDEV_GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden")

moddev_add_test(protocol_values_test
  SOURCES
    unit/protocol/manifest_test.cc
    unit/protocol/name_match_test.cc
    unit/protocol/names_test.cc
    unit/protocol/patch_test.cc
    unit/protocol/signature_test.cc
    unit/protocol/values_test.cc
  LIBRARIES moddev_protocol
  KIND unit SANITIZE asan)

# One library from every linker that is installed, to be read and never to be loaded.
add_library(protocol_elf_dependency SHARED support/protocol/elf/dependency.cc)
set(protocol_elf_samples "")
foreach(linker bfd gold lld mold)
  find_program(PROTOCOL_LD_${linker} NAMES ld.${linker} ${linker})
  if(PROTOCOL_LD_${linker})
    add_library(protocol_elf_${linker} SHARED support/protocol/elf/sample.cc)
    target_link_libraries(protocol_elf_${linker} PRIVATE protocol_elf_dependency)
    # The last -fuse-ld wins, over the one of the whole build.
    target_link_options(protocol_elf_${linker} PRIVATE -fuse-ld=${linker} -Wl,--build-id=sha1
      -Wl,-soname,libsample_soname.so.1 -Wl,--enable-new-dtags)
    set_target_properties(protocol_elf_${linker} PROPERTIES NO_SONAME ON BUILD_RPATH "$ORIGIN;/opt/sample"
      BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN:/opt/sample")
    list(APPEND protocol_elf_samples protocol_elf_${linker})
  endif()
endforeach()
add_library(protocol_elf_quiet SHARED support/protocol/elf/quiet.cc)
target_link_options(protocol_elf_quiet PRIVATE -fuse-ld=bfd -Wl,--hash-style=gnu)
add_library(protocol_elf_nodelete SHARED support/protocol/elf/dependency.cc)
target_link_options(protocol_elf_nodelete PRIVATE -Wl,-z,nodelete)

moddev_add_test(protocol_elf_test
  SOURCES
    unit/protocol/elf_image_test.cc
  LIBRARIES moddev_protocol
  KIND unit SANITIZE asan)
add_dependencies(protocol_elf_test ${protocol_elf_samples} protocol_elf_quiet protocol_elf_nodelete)
list(TRANSFORM protocol_elf_samples REPLACE "(.+)" "$<TARGET_FILE:\\1>")
list(JOIN protocol_elf_samples "|" protocol_elf_samples)
target_compile_definitions(protocol_elf_test PRIVATE
  MODDEV_ELF_SAMPLES="${protocol_elf_samples}"
  MODDEV_ELF_QUIET="$<TARGET_FILE:protocol_elf_quiet>"
  MODDEV_ELF_NODELETE="$<TARGET_FILE:protocol_elf_nodelete>")
