# What `cmake --install` puts where, and the package that find_package(Joinery)
# finds there. Inside this project the same names are aliases.

# The runtime is being built; nothing can be installed without it.
if(NOT TARGET joinery_runtime)
  return()
endif()

include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Joinery)

foreach(library runtime runtime_static)
  add_library(Joinery::${library} ALIAS joinery_${library})
  install(TARGETS joinery_${library}
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endforeach()
foreach(tool joinery joinery-compiler joinery-opt joinery-lsp-server)
  if(TARGET ${tool})
    add_executable(Joinery::${tool} ALIAS ${tool})
    install(TARGETS ${tool} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
install(FILES include/joinery/runtime/abi.h include/joinery/runtime/joinery.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/joinery/runtime)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The shared library's names, for the imported target.
get_target_property(version joinery_runtime VERSION)
get_target_property(soversion joinery_runtime SOVERSION)
set(JOINERY_RUNTIME_FILE libjoinery_runtime.so)
set(JOINERY_RUNTIME_SONAME libjoinery_runtime.so)
if(version)
  set(JOINERY_RUNTIME_FILE libjoinery_runtime.so.${version})
  set(JOINERY_RUNTIME_SONAME libjoinery_runtime.so.${soversion})
endif()

configure_package_config_file(cmake/JoineryConfig.cmake.in
  ${PROJECT_BINARY_DIR}/cmake/JoineryConfig.cmake
  INSTALL_DESTINATION ${package_dir}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_BINDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cmake/JoineryConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cmake/JoineryConfig.cmake
              ${PROJECT_BINARY_DIR}/cmake/JoineryConfigVersion.cmake
              cmake/modules/JoineryAddModel.cmake
        DESTINATION ${package_dir})
