# slipway_add_plugin(NAME SOURCES... [DEPS...] [OUTPUT_DIRECTORY dir])
#
# One plugin: a module called libslipway-NAME.so that exports its entry symbol and nothing else, in which every symbol
# resolves at link time. Works in Slipway's own tree and against the installed package.
set(SLIPWAY_PLUGIN_VERSION_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/plugin.map)
function(slipway_add_plugin name)
  cmake_parse_arguments(arg "" "OUTPUT_DIRECTORY" "SOURCES;DEPS" ${ARGN})
  set(target slipway-${name})
  add_library(${target} MODULE ${arg_SOURCES})
  set_target_properties(${target} PROPERTIES
    PREFIX lib C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  if(TARGET slipway_sdk)
    target_link_libraries(${target} PRIVATE slipway_sdk)
  else()
    target_link_libraries(${target} PRIVATE Slipway::sdk)
  endif()
  target_link_libraries(${target} PRIVATE ${arg_DEPS})
  target_compile_options(${target} PRIVATE ${SLIPWAY_WARNINGS})
  target_link_options(${target} PRIVATE
    -Wl,--version-script=${SLIPWAY_PLUGIN_VERSION_SCRIPT} -Wl,--exclude-libs,ALL)
  if(NOT SLIPWAY_SANITIZE)  # the sanitizers' runtime is in the executable
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
  set_target_properties(${target} PROPERTIES LINK_DEPENDS ${SLIPWAY_PLUGIN_VERSION_SCRIPT})
  if(arg_OUTPUT_DIRECTORY)
    set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${arg_OUTPUT_DIRECTORY})
  endif()
endfunction()
