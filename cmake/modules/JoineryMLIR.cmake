# LLVM and MLIR 22 (Debian's packages), and how our libraries use them.

list(APPEND CMAKE_PREFIX_PATH /usr/lib/llvm-22)
# No version here: the package's version file refuses "22" against 22.1.
find_package(MLIR REQUIRED CONFIG)
if(NOT LLVM_VERSION_MAJOR EQUAL 22)
  message(FATAL_ERROR "Joinery needs LLVM and MLIR 22, found ${LLVM_PACKAGE_VERSION} "
                      "(Debian packages: libmlir-22-dev mlir-22-tools llvm-22-dev)")
endif()
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)

include_directories(${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
add_definitions(${LLVM_DEFINITIONS})

# joinery_library(NAME sources... [LINK libs...]): a static library of the
# compiler. LLVM's headers are system headers: their warnings are not ours.
function(joinery_library name)
  cmake_parse_arguments(arg "" "" "LINK;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC ${arg_LINK} MLIR LLVM)
  target_compile_options(${name} PRIVATE -fno-exceptions)
  joinery_target_options(${name})
  if(arg_DEPENDS)
    add_dependencies(${name} ${arg_DEPENDS})
  endif()
endfunction()
