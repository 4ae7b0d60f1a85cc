# What `cmake --install` puts into a prefix, and the CMake package there: find_package(moddev) gives moddev::client
# and moddev_add_module(). Only the public headers are installed; the daemon's libraries stay inside bin/moddev
# (tools/program.cmake installs that).
include(CMakePackageConfigHelpers)

set(moddev_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/moddev)

# moddev_protocol comes along because moddev::client is made of it; users name only moddev::client.
install(TARGETS moddev_protocol moddev_client EXPORT moddevTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})

# result.h is the one header that our libraries and our users share. In the source it is reached through a link;
# installed it is a file of its own.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/client/include/moddev DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "protocol" EXCLUDE)
install(FILES ${PROJECT_SOURCE_DIR}/protocol/result.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/moddev/protocol)

install(EXPORT moddevTargets NAMESPACE moddev:: DESTINATION ${moddev_package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/moddevConfig.cmake.in
  ${PROJECT_BINARY_DIR}/package/moddevConfig.cmake INSTALL_DESTINATION ${moddev_package_dir})
# Before 1.0 every minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/moddevConfigVersion.cmake
  VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/package/moddevConfig.cmake
  ${PROJECT_BINARY_DIR}/package/moddevConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/ModdevAddModule.cmake
  DESTINATION ${moddev_package_dir})
install(PROGRAMS ${CMAKE_CURRENT_LIST_DIR}/moddev-link DESTINATION ${moddev_package_dir})
