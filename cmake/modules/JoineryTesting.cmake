# GoogleTests.

find_package(GTest REQUIRED)
include(GoogleTest)

# joinery_unit_test(NAME sources... [LINK libs...] [SLOW]): one GoogleTest
# program; each of its tests is a test of ctest. SLOW keeps it out of the fast
# suite.
function(joinery_unit_test name)
  cmake_parse_arguments(arg "SLOW" "" "LINK" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${arg_LINK} GTest::gtest GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
  joinery_target_options(${name})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/test/bin)
  set(properties TIMEOUT 600)
  if(arg_SLOW)
    list(APPEND properties LABELS slow)
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX ${name}/
                       PROPERTIES ${properties})
endfunction()
