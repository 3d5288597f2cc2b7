# cutaway_debugger(target): gdb loads the printers and the commands `layer` and `tensor` by itself with this program.
# gdb looks for <program>-gdb.py beside the program and takes it from folders that it was told to trust: tools/debug
# and .vscode/launch.json do so (add-auto-load-safe-path).   Doc: docs/debugging.md
function(cutaway_debugger target)
  file(GENERATE OUTPUT $<TARGET_FILE:${target}>-gdb.py
       CONTENT "import sys\nsys.path.insert(0, '${PROJECT_SOURCE_DIR}/tools/gdb')\nimport cutaway_gdb\n"
       CONDITION $<CONFIG:Debug,RelWithDebInfo>)
endfunction()
