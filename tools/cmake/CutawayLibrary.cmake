# cutaway_library(folder): the sources of one folder as the static library cutaway_<folder>, also cutaway::<folder>.
# The folder is the list of sources: a new file is picked up by the next build.
function(cutaway_library folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  add_library(cutaway_${folder} STATIC ${sources})
  add_library(cutaway::${folder} ALIAS cutaway_${folder})
  target_include_directories(cutaway_${folder} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                                      $<INSTALL_INTERFACE:include/cutaway>)
  set_target_properties(cutaway_${folder} PROPERTIES EXPORT_NAME ${folder} POSITION_INDEPENDENT_CODE ON)
  cutaway_compile_options(cutaway_${folder})
endfunction()

function(cutaway_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  # No a * b + c in one rounding unless the code says so: equations give the same bits on every processor.
  target_compile_options(${target} PRIVATE -ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)  # wrong about std::string's operator+: GCC bug 105651
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)  # wrong about std::optional: GCC bug 80635
  endif()
  if(CUTAWAY_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()
