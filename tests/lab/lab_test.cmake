# slipway_add_lab_test(NAME SCRIPT [TIMEOUT s] [LABEL l] [ENVIRONMENT ...]): a Python script that boots machines with
# tools/lab. Its label is "lab", unless it runs for minutes: then "soak".
# Emulated machines learn nothing from sanitizers and would be slower still.
include_guard(GLOBAL)

function(slipway_add_lab_test name script)
  cmake_parse_arguments(arg "" "TIMEOUT;LABEL" "ENVIRONMENT" ${ARGN})
  if(SLIPWAY_SANITIZE)
    return()
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  if(NOT arg_LABEL)
    set(arg_LABEL lab)
  endif()
  add_test(NAME ${name} COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_SOURCE_DIR}/${script})
  # The lock: machines are as large as a computer, and a second one beside them makes both miss their deadlines.
  set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77 RESOURCE_LOCK slipway_lab
    PROCESSORS 2 ENVIRONMENT "PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/lab;${arg_ENVIRONMENT}")
endfunction()
