# cmake --install: libraries, public headers, the program, and what find_package(cutaway) reads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cutaway)

install(TARGETS cutaway_tensor cutaway_nn cutaway_samplers cutaway_models
        EXPORT cutaway_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT cutaway_targets NAMESPACE cutaway:: DESTINATION ${package_dir})
foreach(folder tensor nn samplers models)
  # The versions of an operation (ref, fast, eigen), and what chooses among them, are reached through tensor/ops.h only.
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cutaway
          FILES_MATCHING PATTERN "*.h"
          PATTERN "ref" EXCLUDE PATTERN "fast" EXCLUDE PATTERN "eigen" EXCLUDE PATTERN "dispatch" EXCLUDE)
endforeach()
if(TARGET cutaway)
  install(TARGETS cutaway RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET cutaway_mpi)
  install(TARGETS cutaway_mpi RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/docs/THIRD_PARTY_NOTICES.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_package_config_file(${PROJECT_SOURCE_DIR}/tools/cmake/cutaway-config.cmake.in
                              ${PROJECT_BINARY_DIR}/cutaway-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cutaway-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cutaway-config.cmake ${PROJECT_BINARY_DIR}/cutaway-config-version.cmake
        DESTINATION ${package_dir})
