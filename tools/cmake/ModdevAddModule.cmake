# moddev_add_module(NAME [ALLOW_UNDEFINED] SOURCE...): a shared library that can be reloaded while it runs. It is an
# ordinary target: target_link_libraries() and the rest work as on any other.
#
# Each setting below removes one trap of reloading native code; its comment says which.
#
# ALLOW_UNDEFINED is for a module that calls functions of the program that loads it (which then needs ENABLE_EXPORTS).
# A missing function is then found in the executors, which refuse the module and go on with the last good one.
function(moddev_add_module name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "ALLOW_UNDEFINED" "" "")
  if(NOT ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "moddev_add_module(${name}) has no sources")
  endif()
  add_library(${name} SHARED ${ARG_UNPARSED_ARGUMENTS})
  set_target_properties(${name} PROPERTIES
    # A link appears in one rename, whatever the linker; one that fails leaves the last good file where it is, where
    # GNU ld would have removed it, and with it the module. (Used by the Ninja and Makefile generators.)
    RULE_LAUNCH_LINK "\"${CMAKE_CURRENT_FUNCTION_LIST_DIR}/moddev-link\""
    # What is not exported on purpose cannot be bound by another module, or by another version of this one that is
    # mapped at the same time. MODDEV_EXPORT of <moddev/module.h> exports.
    C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  # For <moddev/interface.h>, whose descriptions of layouts the compiler makes. Who has chosen a standard keeps it.
  if(CMAKE_CXX_COMPILER_LOADED AND NOT DEFINED CMAKE_CXX_STANDARD)
    target_compile_features(${name} PRIVATE cxx_std_20)
  endif()
  # For <moddev/module.h>. A module links nothing of moddev's.
  target_include_directories(${name} PRIVATE $<TARGET_PROPERTY:moddev::client,INTERFACE_INCLUDE_DIRECTORIES>)
  target_compile_options(${name} PRIVATE
    # GCC marks statics of inline functions and templates STB_GNU_UNIQUE: one copy in the whole process, so that a
    # new version would silently use the old one's, and the old one could never be unmapped. (Clang does not.)
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    target_link_options(${name} PRIVATE
      # The linker writes the build-id when all else is written: its presence proves a finished file, where a linker
      # that was killed leaves zeros. It also tells a debugger which version is mapped.
      -Wl,--build-id=sha1
      # Calls inside the module stay inside it, also when the program or an older version exports the same name.
      -Wl,-Bsymbolic-functions)
    if(NOT ARG_ALLOW_UNDEFINED)
      # An undefined symbol is found by the linker, here and now, and not by the loader in every executor.
      target_link_options(${name} PRIVATE -Wl,-z,defs)
    endif()
  endif()
endfunction()
