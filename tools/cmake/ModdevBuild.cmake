# Build rules of this repository: warnings, sanitizers, and how a library and a test are declared.
# Not installed: what users need is in ModdevAddModule.cmake and moddevConfig.cmake.in.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(moddev_build_flags INTERFACE)
target_compile_options(moddev_build_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -fno-omit-frame-pointer)
# Debug information of the RelWithDebInfo default doubles the link times of the tests; lines are enough.
add_compile_options($<$<CONFIG:RelWithDebInfo>:-g1>)

if(MODDEV_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
elseif(MODDEV_SANITIZE STREQUAL "thread")
  # GCC warns that its TSan does not model atomic_thread_fence; code that needs fences has a TSan branch.
  add_compile_options(-fsanitize=thread -Wno-tsan)
  add_link_options(-fsanitize=thread)
elseif(MODDEV_SANITIZE)
  message(FATAL_ERROR "MODDEV_SANITIZE must be empty, 'address' or 'thread', not '${MODDEV_SANITIZE}'")
endif()

if(MODDEV_SANITIZE)
  # False under sanitizers, as GCC's manual says (-fsanitize=address, -Wmaybe-uninitialized).
  target_compile_options(moddev_build_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endif()

# Everything reports its branches to libFuzzer, which searches blindly otherwise; without its main program, which only
# the fuzz targets get. Also in a sanitizer's build.
option(MODDEV_LIBFUZZER "Link the fuzz targets with libFuzzer (clang) instead of replaying their corpora" OFF)
if(MODDEV_LIBFUZZER)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

# Links are the longest part of a rebuild of the tests; a faster linker is used where there is one.
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

# moddev_add_library(NAME SOURCES ... PUBLIC ... PRIVATE ...): the static library moddev_NAME, alias moddev::NAME.
function(moddev_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(moddev_${name} STATIC ${ARG_SOURCES})
  add_library(moddev::${name} ALIAS moddev_${name})
  set_target_properties(moddev_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(moddev_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_compile_features(moddev_${name} PUBLIC cxx_std_20)
  target_link_libraries(moddev_${name} PUBLIC ${ARG_PUBLIC}
    PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:moddev_build_flags>)
endfunction()

# moddev_add_test(NAME SOURCES ... LIBRARIES ... KIND kind SANITIZE ... TIMEOUT seconds): one GoogleTest binary; each
# TEST becomes a CTest test with the label KIND. SANITIZE says in which of the builds 'asan' and 'tsan' they run, too;
# those build no others unless they are asked for by name.
function(moddev_add_test name)
  cmake_parse_arguments(ARG "" "KIND;TIMEOUT" "SOURCES;LIBRARIES;SANITIZE" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set(elsewhere "")
  if((MODDEV_SANITIZE STREQUAL "address" AND NOT "asan" IN_LIST ARG_SANITIZE)
     OR (MODDEV_SANITIZE STREQUAL "thread" AND NOT "tsan" IN_LIST ARG_SANITIZE))
    set(elsewhere EXCLUDE_FROM_ALL)
  endif()
  add_executable(${name} ${elsewhere} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} GTest::gmock GTest::gtest_main moddev_build_flags)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  # What is tested is in the libraries, as optimised as the preset says. A test's own lines run once, and the
  # compiler needs half the time for them.
  target_compile_options(${name} PRIVATE -O0)
  if(NOT elsewhere)
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS ${ARG_KIND} TIMEOUT ${ARG_TIMEOUT})
  endif()
endfunction()
