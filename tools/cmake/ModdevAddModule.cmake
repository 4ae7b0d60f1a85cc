# moddev_add_module(NAME SOURCE...): a shared library that can be reloaded.
#
# Each setting below removes one trap of reloading native code; the comment says which.
function(moddev_add_module name)
  add_library(${name} SHARED ${ARGN})
  target_compile_options(${name} PRIVATE
    # STB_GNU_UNIQUE symbols make a new version share the statics of the old one, and keep the old one mapped for ever.
    $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
  set_target_properties(${name} PROPERTIES
    # What is not exported on purpose cannot be bound by another module or by another version of this one.
    C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  target_link_options(${name} PRIVATE
    # The linker writes the build-id last: its presence proves a finished file, and it tells which version is mapped.
    -Wl,--build-id=sha1
    # An undefined symbol is found by the linker, here and now, and not by the loader in every executor.
    -Wl,-z,defs)
endfunction()
