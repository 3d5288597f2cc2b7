# cmake -DBUILD=... -DSOURCE=... -DPYTHON=... -DCOMPILER=... -DLAUNCHER=... -DSTEP=yes|no -P test_gdb.cmake
# Runs tests/tools/gdb/test_gdb.py, compares the screens of docs/debugging.md, and runs tests/tools/gdb/test_lldb.py where LLDB
# is installed: on an unoptimised build, which is this one, or (STEP=no) one of its own below BUILD, with the flags of `step`.
find_program(gdb gdb)
if(NOT gdb)
  message(STATUS "SKIPPED: gdb is not installed (Debian: apt-get install gdb)")
  return()
endif()
execute_process(COMMAND ${gdb} -nx -batch -ex "python print('has python')" -ex run --args ${CMAKE_COMMAND} --version
                OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT output MATCHES "has python")
  message(STATUS "SKIPPED: this gdb was built without Python")
  return()
endif()
if(NOT output MATCHES "cmake version")
  message(STATUS "SKIPPED: gdb may not run programs here (in a container: --cap-add=SYS_PTRACE)")
  return()
endif()

set(folder ${BUILD})
if(NOT STEP)
  set(folder ${BUILD}/gdb)
  foreach(command
      "-S;${SOURCE};-B;${folder};-G;Ninja;-DCMAKE_BUILD_TYPE=Debug;-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g3;-DCMAKE_CXX_COMPILER=${COMPILER};-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER};-DCUTAWAY_GROUP_SOURCES=ON;-DCUTAWAY_BUILD_PYTHON=OFF"
      "--build;${folder};--target;cutaway;debugger_subject")
    execute_process(COMMAND ${CMAKE_COMMAND} ${command} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT result EQUAL 0)
      message(FATAL_ERROR "the unoptimised build failed:\n${output}")
    endif()
  endforeach()
endif()

execute_process(COMMAND ${PYTHON} ${SOURCE}/tests/tools/gdb/test_gdb.py ${gdb} ${folder}/cutaway ${folder}/tests/debugger_subject
                WORKING_DIRECTORY ${SOURCE} RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "tests/tools/gdb/test_gdb.py failed")
endif()

execute_process(COMMAND ${PYTHON} ${SOURCE}/tools/make_debug_screens --check ${folder}/cutaway RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "the screens of docs/debugging.md are not what gdb prints")
endif()

find_program(lldb NAMES lldb lldb-19 lldb-18 lldb-17 lldb-16 lldb-15 lldb-14)
if(lldb)
  execute_process(COMMAND ${PYTHON} ${SOURCE}/tests/tools/gdb/test_lldb.py ${lldb} ${folder}/cutaway ${folder}/tests/debugger_subject
                  WORKING_DIRECTORY ${SOURCE} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "tests/tools/gdb/test_lldb.py failed")
  endif()
else()
  message(STATUS "LLDB is not installed (Debian: apt-get install lldb); its part is left out")
endif()
