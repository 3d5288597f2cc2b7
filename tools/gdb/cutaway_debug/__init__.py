"""What the debuggers know of Cutaway: Tensor, Weight and Shape as one line, layers by their path.

    objects.py   the bytes of an object, checked before they are believed      plain Python
    numbers.py   statistics, and the one line                                  plain Python
    drawing.py   heat maps, pictures                                           plain Python
    files.py     .png, .npy, .safetensors                                      plain Python
    names.py     the paths of a model's layers                                 plain Python
    sources.py   the lines of source files                                     plain Python
    inferior.py  the debugged program's memory, values and scopes              gdb
    printers.py, tensor_commands.py, layer_commands.py                         gdb

tools/lldb uses the plain half, so both debuggers print the same text.
"""
