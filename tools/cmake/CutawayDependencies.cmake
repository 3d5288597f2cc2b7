# Libraries from outside, all from the system's packages.

# cutaway_find(target package...): find_package whose target a parent project (add_subdirectory) can see as well;
# the libraries are static, so the parent links them too. One that the parent has found already is left as it is.
macro(cutaway_find target)
  if(NOT TARGET ${target})
    find_package(${ARGN})
    set_target_properties(${target} PROPERTIES IMPORTED_GLOBAL TRUE)
  endif()
endmacro()

cutaway_find(OpenMP::OpenMP_CXX OpenMP REQUIRED COMPONENTS CXX)
cutaway_find(Eigen3::Eigen Eigen3 3.3 REQUIRED NO_MODULE)
cutaway_find(nlohmann_json::nlohmann_json nlohmann_json 3.9 REQUIRED)
find_package(PkgConfig REQUIRED)
if(NOT TARGET PkgConfig::utf8proc)
  pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET GLOBAL libutf8proc)
endif()
if(NOT TARGET PkgConfig::spng)
  pkg_check_modules(spng REQUIRED IMPORTED_TARGET GLOBAL spng)
endif()
