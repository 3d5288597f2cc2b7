"""`print h`, `info locals`, `info args`, and the variables of an editor: one line a Tensor, Weight, Shape, Scope."""
import gdb
import gdb.printing

from . import inferior, numbers, objects


def in_frame_line():
    """Is this an argument in gdb's line about a frame, where there is no room? Known since gdb 13."""
    return getattr(gdb, "print_options", dict)().get("summary", False)


class TensorPrinter:
    """Tensor and Weight."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        found = inferior.find(self.value)
        return numbers.short(found) if in_frame_line() else numbers.line(found, inferior.memory)


class ShapePrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        raw = None
        if self.value.address is not None:
            raw = inferior.memory.read(int(self.value.address), objects.SHAPE.size)
        if raw is None:
            return "Shape, not to be read"
        shape = objects.shape_of(raw)
        return f"Shape, not made yet or damaged: {shape}" if isinstance(shape, str) else objects.shape_text(shape)


class ScopePrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        if self.value.address is None or inferior.declared_later(self.value):
            return "Scope, not made yet"
        return f"Scope {inferior.OpenScope(int(self.value.address)).path}"


class Safe:
    """A printer that says what went wrong instead of raising it: half a line helps more than a Python traceback."""

    def __init__(self, printer):
        self.printer = printer

    def __call__(self, value):
        return SafePrinter(self.printer(value))


class SafePrinter:
    def __init__(self, printer):
        self.printer = printer

    def to_string(self):
        try:
            return self.printer.to_string()
        except Exception as fault:  # whatever garbage leads to
            return f"not to be read: {fault}"


def register():
    printers = gdb.printing.RegexpCollectionPrettyPrinter("cutaway")
    printers.add_printer("Tensor", "^cutaway::Tensor$", Safe(TensorPrinter))
    printers.add_printer("Weight", "^cutaway::Weight$", Safe(TensorPrinter))
    printers.add_printer("Shape", "^cutaway::Shape$", Safe(ShapePrinter))
    printers.add_printer("Scope", "^cutaway::Scope$", Safe(ScopePrinter))
    gdb.printing.register_pretty_printer(None, printers, replace=True)
