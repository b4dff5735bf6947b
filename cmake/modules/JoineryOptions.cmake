# Compiler cache, warnings and sanitizers for Joinery's own code.

find_program(JOINERY_CCACHE ccache)
if(JOINERY_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${JOINERY_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${JOINERY_CCACHE})
endif()

# Installed tools find the installed runtime, and LLVM where it was linked from.
set(CMAKE_INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

if(JOINERY_SANITIZE)
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_FLAGS -fsanitize=address,undefined)
  check_cxx_source_compiles("int main() { return 0; }" JOINERY_HAS_SANITIZERS)
  unset(CMAKE_REQUIRED_FLAGS)
  if(NOT JOINERY_HAS_SANITIZERS)
    message(FATAL_ERROR "JOINERY_SANITIZE: the compiler's sanitizers can't be "
      "linked. With Debian's clang-22, install libclang-rt-22-dev.")
  endif()
endif()

# joinery_target_options(TARGET): what every target of ours is compiled with.
function(joinery_target_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wno-unused-parameter)
  if(JOINERY_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(JOINERY_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=address,undefined
                           -fno-omit-frame-pointer -fno-sanitize=vptr)
    target_link_options(${target} PRIVATE -fsanitize=address,undefined)
  endif()
endfunction()
