# What this tree's own targets share: warnings, sanitizers, and one function a kind of target.
set(SLIPWAY_WARNINGS -Wall -Wextra -Wno-missing-field-initializers)
if(SLIPWAY_WERROR)
  list(APPEND SLIPWAY_WARNINGS -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  list(APPEND SLIPWAY_WARNINGS -Wthread-safety)
endif()
if(SLIPWAY_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # gcc warns of the standard library's own code when sanitizers keep it from seeing through (its bug 105562).
  list(APPEND SLIPWAY_WARNINGS -Wno-maybe-uninitialized)
  # Fences order memory for devices and other hosts, which the thread sanitizer does not watch and need not know of.
  if(SLIPWAY_SANITIZE MATCHES thread)
    list(APPEND SLIPWAY_WARNINGS -Wno-tsan)
  endif()
endif()
if(SLIPWAY_SANITIZE)
  add_compile_options(-fsanitize=${SLIPWAY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SLIPWAY_SANITIZE})
  if(SLIPWAY_SANITIZE MATCHES "address.*undefined")
    # These three double the time that compiling takes, and what they find is what the address sanitizer stops at.
    add_compile_options(-fno-sanitize=vptr,null,object-size)
  endif()
endif()

# slipway_add_library(NAME SOURCES... DEPS...): one part of the core, a static library that ends in libslipway.so.
function(slipway_add_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/core/include>)
  target_compile_options(${name} PRIVATE ${SLIPWAY_WARNINGS})
  target_link_libraries(${name} PUBLIC slipway_sdk ${arg_DEPS} PRIVATE ${arg_PRIVATE_DEPS})
endfunction()

# slipway_add_test(NAME SOURCES... [DEPS...] [TIMEOUT s] [LABELS...]): one GoogleTest program, one CTest entry.
function(slipway_add_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;DEPS;LABELS;ENVIRONMENT" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/core/include)
  target_compile_options(${name} PRIVATE ${SLIPWAY_WARNINGS})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} GTest::gmock GTest::gtest GTest::gtest_main Threads::Threads)
  # Reading the headers of GoogleTest is half of what compiling a test takes. For gcc only: it is what all tests are built
  # and run with.
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    if(NOT TARGET slipway_test_headers)
      file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/test_headers.cc CONTENT "int main() {}\n")
      add_executable(slipway_test_headers ${PROJECT_BINARY_DIR}/test_headers.cc)
      target_compile_options(slipway_test_headers PRIVATE ${SLIPWAY_WARNINGS})
      target_link_libraries(slipway_test_headers PRIVATE GTest::gmock GTest::gtest Threads::Threads)
      target_precompile_headers(slipway_test_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
    endif()
    target_precompile_headers(${name} REUSE_FROM slipway_test_headers)
    target_compile_options(${name} PRIVATE -fpch-preprocess)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}"
    ENVIRONMENT "SLIPWAY_TEST_PLUGIN_DIR=${SLIPWAY_PLUGIN_OUTPUT_DIR};SLIPWAY_TEST_FIXTURE_DIR=${SLIPWAY_FIXTURE_OUTPUT_DIR};${arg_ENVIRONMENT}")
endfunction()

# Where the tree's own plugins and the tests' broken ones are built.
set(SLIPWAY_PLUGIN_OUTPUT_DIR ${PROJECT_BINARY_DIR}/lib/slipway/plugins)  # beside lib/libslipway.so, as installed
set(SLIPWAY_FIXTURE_OUTPUT_DIR ${PROJECT_BINARY_DIR}/fixtures)
