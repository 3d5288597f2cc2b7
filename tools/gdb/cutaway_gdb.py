"""Cutaway in gdb: printers for Tensor, Weight, Shape, and the commands `layer` and `tensor`.   Doc: docs/debugging.md

Loaded by itself with the program of the preset `step`, else by: source tools/gdb/cutaway_gdb.py
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cutaway_debug import layer_commands, printers, tensor_commands  # noqa: E402

if not hasattr(sys, "cutaway_is_loaded"):  # a second `source` would tell every stop twice
    sys.cutaway_is_loaded = True
    printers.register()
    layer_commands.register()
    tensor_commands.register()
