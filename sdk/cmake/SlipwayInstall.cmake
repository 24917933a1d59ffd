# What `cmake --install` gives: headers, the library, the plugins, the program, a CMake package and two pkg-config files.
# All of them find each other relative to where they are, so that the installed tree can be moved.
include(CMakePackageConfigHelpers)
set(slipway_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Slipway)

# All plugins as one target, for those who build no more than what runs.
add_custom_target(slipway-plugins)
function(slipway_collect_plugins folder)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target ${targets})
    get_target_property(type ${target} TYPE)
    if(type STREQUAL MODULE_LIBRARY)
      add_dependencies(slipway-plugins ${target})
    endif()
  endforeach()
  get_property(folders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(one ${folders})
    slipway_collect_plugins(${one})
  endforeach()
endfunction()
slipway_collect_plugins(${PROJECT_SOURCE_DIR}/plugins)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/core/include/ ${PROJECT_SOURCE_DIR}/sdk/include/
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/sdk/cpp/slipway
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")

set(slipway_targets slipway_sdk)
if(TARGET slipway)
  list(APPEND slipway_targets slipway)
  set_target_properties(slipway PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
endif()
install(TARGETS ${slipway_targets} EXPORT SlipwayTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT SlipwayTargets NAMESPACE Slipway:: DESTINATION ${slipway_package_dir})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/SlipwayConfig.cmake.in
  ${PROJECT_BINARY_DIR}/SlipwayConfig.cmake INSTALL_DESTINATION ${slipway_package_dir}
  PATH_VARS CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/SlipwayConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/SlipwayConfig.cmake ${PROJECT_BINARY_DIR}/SlipwayConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/SlipwayPlugin.cmake ${CMAKE_CURRENT_LIST_DIR}/plugin.map
  DESTINATION ${slipway_package_dir})

file(RELATIVE_PATH slipway_pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
foreach(name slipway slipway-sdk)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

if(TARGET slipway-cli)
  file(RELATIVE_PATH slipway_lib_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(slipway-cli PROPERTIES INSTALL_RPATH "$ORIGIN/${slipway_lib_from_bin}")
endif()
