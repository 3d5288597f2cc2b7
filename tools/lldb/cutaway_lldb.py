"""Cutaway in LLDB: Tensor, Weight, Shape and Scope as one line, the same as in gdb.   Doc: docs/debugging.md

    (lldb) command script import tools/lldb/cutaway_lldb.py
"""
import os
import re
import sys

import lldb

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "gdb"))
from cutaway_debug import numbers, objects, sources  # noqa: E402


class Memory:
    """The `memory` of cutaway_debug/objects.py."""

    def __init__(self, value):
        self.target, self.process = value.GetTarget(), value.GetProcess()

    def read(self, address, size):
        if address <= 0 or size < 0:
            return None
        if size == 0:
            return b""
        error = lldb.SBError()
        raw = self.process.ReadMemory(address, size, error)
        return raw if error.Success() and raw is not None and len(raw) == size else None

    def symbol(self, address):
        """Not ResolveLoadAddress: where a program has thread_local variables, it takes their section for the one that
        lies at the same address, the constants with the tables of virtual functions among them."""
        for module in self.target.module_iter():
            first = module.GetSectionAtIndex(0)
            slide = first.GetLoadAddress(self.target) - first.GetFileAddress()
            found = module.ResolveFileAddress(address - slide) if address >= slide else lldb.SBAddress()
            if found.GetSection().IsValid():
                return found.GetSymbol().GetName() or ""
        return ""


def address_of(value):
    """Where the object is; a reference is followed."""
    value = value.GetNonSyntheticValue()
    if value.GetType().IsReferenceType():
        return value.GetValueAsUnsigned()
    return value.GetLoadAddress()


def declared_later(value):
    """Is this a local variable that the program has not come to yet? Its memory holds what was there before."""
    if value.GetValueType() != lldb.eValueTypeVariableLocal or value.GetType().IsReferenceType():
        return False
    declared, now = value.GetDeclaration(), value.GetFrame().GetLineEntry()
    if not declared.IsValid() or not now.IsValid():
        return False
    return now.GetLine() <= sources.last_line(declared.GetFileSpec().fullpath or "", declared.GetLine())


def summary(kind, size, judge):
    def text(value, _):
        try:
            memory = Memory(value)
            if declared_later(value):
                return f"{kind}, not made yet"
            return numbers.line(judge(memory.read(address_of(value), size), memory), memory)
        except Exception as fault:  # half a line helps more than a Python traceback
            return f"not to be read: {fault}"
    return text


tensor = summary("Tensor", objects.TENSOR_SIZE, objects.tensor_of)
weight = summary("Weight", objects.WEIGHT_SIZE, objects.weight_of)


def shape(value, _):
    raw = Memory(value).read(address_of(value), objects.SHAPE.size)
    if raw is None:
        return "Shape, not to be read"
    found = objects.shape_of(raw)
    return f"Shape, not made yet or damaged: {found}" if isinstance(found, str) else objects.shape_text(found)


def scope(value, _):
    if declared_later(value):
        return "Scope, not made yet"
    memory = Memory(value)
    path = value.GetNonSyntheticValue().GetChildMemberWithName("path_")
    raw = memory.read(address_of(path), objects.STRING_SIZE)
    return f"Scope {objects.string_of(raw, memory) if raw else '?'}"


def __lldb_init_module(debugger, _):
    for kind, function in (("Tensor", "tensor"), ("Weight", "weight"), ("Shape", "shape"), ("Scope", "scope")):
        debugger.HandleCommand(f"type summary add -w cutaway -F {__name__}.{function} cutaway::{kind}")
    debugger.HandleCommand("type category enable cutaway")
    # Up to LLDB 15, `p` compiles what it prints; in a layer's operator() LLDB 14 dies of that. Members are enough here.
    if int(re.search(r"\d+", debugger.GetVersionString())[0]) < 16:
        for name in ("p", "print"):
            debugger.HandleCommand(f"command alias {name} frame variable")
