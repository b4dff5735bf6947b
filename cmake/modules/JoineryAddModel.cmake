# joinery_add_model(TARGET MODEL.onnx [NAME name] [OUTPUT_DIR dir] [OPTIONS option...])
#
# Compiles an ONNX model while the project is built and makes a library of it.
# A program that links TARGET can include "NAME.h" (NAME is TARGET unless given).
# The weights stay in a file of their own: its path is the property
# JOINERY_STORE of TARGET, and the macro <NAME>_STORE in what links it. OPTIONS
# go to `joinery compile`, for instance --outputs=embedding.

include_guard(GLOBAL)

function(joinery_add_model target model)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "NAME;OUTPUT_DIR" "OPTIONS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "joinery_add_model(${target}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT TARGET Joinery::joinery)
    message(FATAL_ERROR "joinery_add_model(${target}): this Joinery was built without its compiler")
  endif()
  set(name ${target})
  if(arg_NAME)
    set(name ${arg_NAME})
  endif()
  if(NOT name MATCHES "^[A-Za-z_][A-Za-z0-9_]*$")
    message(FATAL_ERROR "joinery_add_model(${target}): '${name}' is no C identifier; give another with NAME")
  endif()
  set(directory ${CMAKE_CURRENT_BINARY_DIR})
  if(arg_OUTPUT_DIR)
    cmake_path(ABSOLUTE_PATH arg_OUTPUT_DIR BASE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}
               OUTPUT_VARIABLE directory)
  endif()
  file(MAKE_DIRECTORY ${directory})
  cmake_path(ABSOLUTE_PATH model BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})

  set(prefix ${directory}/${name})
  add_custom_command(
    OUTPUT ${prefix}.o ${prefix}.h ${prefix}.store
    BYPRODUCTS ${prefix}.so
    COMMAND Joinery::joinery compile ${model} -o ${prefix} ${arg_OPTIONS}
    DEPENDS ${model} Joinery::joinery Joinery::joinery-compiler
    COMMENT "Compiling ${name} from ${model}"
    VERBATIM)
  # A library of nothing but the object: CMake needs to be told its language.
  add_library(${target} STATIC EXCLUDE_FROM_ALL ${prefix}.o ${prefix}.h)
  set_source_files_properties(${prefix}.o PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  string(TOUPPER ${name} macro)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C JOINERY_STORE ${prefix}.store)
  target_include_directories(${target} SYSTEM INTERFACE ${directory})
  target_compile_definitions(${target} INTERFACE ${macro}_STORE="${prefix}.store")
  target_link_libraries(${target} PUBLIC Joinery::runtime)
endfunction()
