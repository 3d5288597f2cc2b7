# Writes the tests of `cutaway verify`: one for each case of tests/reference and each backend.
# -DPROGRAM=cutaway -DFOLDER=tests/reference -DOUTPUT=file.cmake -DSANITIZED=yes|no
execute_process(COMMAND ${PROGRAM} verify ${FOLDER} --list OUTPUT_VARIABLE cases RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "cutaway verify ${FOLDER} --list failed")
endif()
string(REGEX REPLACE "\n+$" "" cases "${cases}")
string(REPLACE "\n" ";" cases "${cases}")

set(tests "")
foreach(case IN LISTS cases)
  foreach(backend fast ref eigen)
    set(name "verify.${backend}.${case}")
    set(label fast)
    # A network of its true size; and under sanitizers the referee, whose numbers do not change there.
    if(case MATCHES "^full_" OR (SANITIZED AND backend STREQUAL "eigen"))
      set(label slow)
    endif()
    string(APPEND tests "add_test([==[${name}]==] [==[${PROGRAM}]==] verify [==[${FOLDER}]==] --only [==[${case}]==]"
                        " --backend ${backend})\n"
                        "set_tests_properties([==[${name}]==] PROPERTIES LABELS \"${label}\" TIMEOUT 900"
                        " SKIP_REGULAR_EXPRESSION \"[^0-9]0 passed, 0 failed\" ENVIRONMENT OMP_WAIT_POLICY=passive)\n")
  endforeach()
endforeach()
file(WRITE ${OUTPUT} "${tests}")
