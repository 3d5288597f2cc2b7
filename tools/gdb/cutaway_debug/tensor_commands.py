"""tensor show, tensor save, tensor diff."""
import re
import sys

import gdb

from . import drawing, files, inferior, numbers, objects


class Operand:
    """A Tensor or Weight of the program, or a tensor in a file, with all its numbers."""

    def __init__(self, text):
        self.text = text
        self.kind = "File"
        name, _, inside = text.partition(".safetensors:")
        try:
            if text.endswith(".npy"):
                self.values, self.shape = files.read_npy(text)
            elif inside:
                self.values, self.shape = files.read_safetensors(name + ".safetensors", inside)
            else:
                self.from_program(text)
        except (OSError, ValueError) as fault:
            raise gdb.GdbError(str(fault)) from None

    def from_program(self, text):
        try:
            value = inferior.plain(gdb.parse_and_eval(text))
            if value.type.strip_typedefs().code == gdb.TYPE_CODE_PTR:
                value = value.dereference()
        except gdb.error as fault:
            raise gdb.GdbError(str(fault)) from None
        if inferior.type_name(value) not in ("cutaway::Tensor", "cutaway::Weight"):
            raise gdb.GdbError(f"{text} is a {inferior.type_name(value)}; a Tensor or a Weight is needed")
        found = inferior.find(value)
        if isinstance(found, objects.Absent):
            raise gdb.GdbError(f"{text}: {found.kind}, {found.why}")
        self.kind, self.shape = found.kind, found.shape
        self.values = numbers.read(found, inferior.memory)
        if self.values is None:
            raise gdb.GdbError(f"{text}: its numbers are not in the program's memory")

    def planes(self):
        """(count, height, width): [N, C, H, W] is N C planes of H rows; of lower ranks the last two axes are one."""
        height, width = ((1, 1) + self.shape)[-2:]
        return len(self.values) // (height * width), height, width

    def plane(self, picture, channel):
        """One plane and what to call it."""
        count, height, width = self.planes()
        outer = self.shape[:-2]
        names = ("picture", "channel")[:len(outer)]
        for name, given, extent in zip(("picture", "channel"), (picture, channel), outer + (None,) * (2 - len(outer))):
            if given is None:
                continue
            if extent is None:
                raise gdb.GdbError(f"{self.text} is {objects.shape_text(self.shape)} and has no axis to take "
                                   f"a {name} from")
            if given >= extent:
                raise gdb.GdbError(f"{self.text} is {objects.shape_text(self.shape)}: there is no {name} {given}, "
                                   f"only 0 to {extent - 1}")
        index = 0
        chosen = ((picture or 0), (channel or 0))[:len(outer)]
        for at, extent in zip(chosen, outer):
            index = index * extent + at
        size = height * width
        title = ", ".join(f"{name} {at}" for name, at in zip(names, chosen))
        return self.values[index * size:(index + 1) * size], title


def options(text):
    """Takes `picture N` and `channel N` off the end."""
    found = {"picture": None, "channel": None}
    while match := re.search(r"\s+(picture|channel)\s+(\d+)\s*$", text):
        found[match[1]] = int(match[2])
        text = text[:match.start()]
    return text.strip(), found


def in_colour():
    return bool(gdb.parameter("style enabled")) and sys.__stdout__ is not None and sys.__stdout__.isatty()


def write(lines):
    gdb.write("\n".join(lines) + "\n")


class TensorCommand(gdb.Command):
    """Look into a Tensor or a Weight: tensor show, tensor save, tensor diff."""

    def __init__(self):
        super().__init__("tensor", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)


class Show(gdb.Command):
    """Numbers and a heat map of a Tensor or a Weight.
tensor show X [picture N] [channel C]

X is anything that `print` takes: h, skips[3], conv1.weight. Without more it is the first plane of the first picture:
of [N, C, H, W] a plane is the H rows of one channel, of [N, T, C] the T tokens of one picture. In a terminal with
colours, blue is below zero, black is zero and red is above; else the darkest character is the largest number."""

    def __init__(self):
        super().__init__("tensor show", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        text, chosen = options(argument)
        if not text:
            raise gdb.GdbError("usage: tensor show X [picture N] [channel C]")
        operand = Operand(text)
        plane, title = operand.plane(chosen["picture"], chosen["channel"])
        _, height, width = operand.planes()
        found = numbers.statistics(operand.values)
        lines = [f"{text}: {operand.kind} {objects.shape_text(operand.shape)}  {numbers.statistics_text(found)}"]
        if title:
            lines.append(f"{title}: {numbers.statistics_text(numbers.statistics(plane))}")
        write(lines + drawing.table(plane, height, width) +
              drawing.heat_map(plane, height, width, in_colour()))


class Save(gdb.Command):
    """Write a Tensor or a Weight to a file.
tensor save X FILE.npy
tensor save X FILE.png [picture N] [channel C]

.npy: all numbers, as float32, for numpy.load.
.png: a picture [N, 3, H, W] in colour, from -1 to 1 as the VAE gives it; anything else as grey planes side by side, one
for each channel of a picture, black the smallest number and white the largest; with `channel C` that plane alone."""

    def __init__(self):
        super().__init__("tensor save", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        text, chosen = options(argument)
        name, _, path = text.rpartition(" ")
        if not name or not path.endswith((".npy", ".png")):
            raise gdb.GdbError("usage: tensor save X FILE.npy, or FILE.png [picture N] [channel C]")
        operand = Operand(name.strip())
        try:
            if path.endswith(".npy"):
                files.write(path, files.npy(operand.values, operand.shape))
                gdb.write(f"{path}: {objects.shape_text(operand.shape)} f32\n")
            else:
                gdb.write(f"{path}: {self.save_picture(operand, path, **chosen)}\n")
        except OSError as fault:
            raise gdb.GdbError(f"cannot write {path}: {fault.strerror}") from None

    def save_picture(self, operand, path, picture, channel):
        plane, _ = operand.plane(picture, channel)  # also refuses what is not there
        _, height, width = operand.planes()
        low, high = finite_range(operand.values)
        spread = f"black {numbers.number_text(low)}, white {numbers.number_text(high)}"
        if channel is not None or len(operand.shape) < 3:
            files.write(path, files.png(drawing.grey(plane, low, high), height, width, 1))
            return f"{width} x {height} pixels, {spread}"
        if len(operand.shape) == 3:  # [N, T, C]: one plane a picture
            count, values = (1, plane) if picture is not None else (operand.shape[0], operand.values)
        else:
            count, begin = operand.shape[1], (picture or 0) * operand.shape[1] * height * width
            values = operand.values[begin:begin + count * height * width]
        if len(operand.shape) == 4 and count == 3 and operand.kind != "Weight":
            files.write(path, files.png(drawing.colour_picture(values, height, width), height, width, 3))
            return f"{width} x {height} pixels in colour, -1 to 1"
        sheet, sheet_height, sheet_width = drawing.contact_sheet(values, count, height, width, low, high)
        files.write(path, files.png(sheet, sheet_height, sheet_width, 1))
        return f"{count} planes of {width} x {height} pixels, {spread}"


def finite_range(values):
    found = numbers.statistics(values)
    return (found.min, found.max) if found.min == found.min else (0.0, 0.0)


class Diff(gdb.Command):
    """How far a tensor is from another.
tensor diff X Y

Each is a Tensor or a Weight of the program, a FILE.npy (from `tensor save`, or numpy.save) or FILE.safetensors:NAME
(from `cutaway trace`). Printed are the largest difference and where it is, the same relative to the largest number of
Y, and the cosine of the angle between both: 1 is the same direction."""

    def __init__(self):
        super().__init__("tensor diff", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        names = gdb.string_to_argv(argument)
        if len(names) != 2:
            raise gdb.GdbError("usage: tensor diff X Y (an expression with spaces goes into quotes)")
        x, y = Operand(names[0]), Operand(names[1])
        if x.shape != y.shape:
            raise gdb.GdbError(f"{x.text} is {objects.shape_text(x.shape)}, but {y.text} is "
                               f"{objects.shape_text(y.shape)}: only tensors of the same shape can be compared")
        found = numbers.difference(x.values, y.values)
        if found.equal:
            gdb.write(f"{x.text} and {y.text} {objects.shape_text(x.shape)} are equal\n")
            return
        show = numbers.number_text
        at = objects.shape_text(numbers.index_of(found.worst, x.shape))
        differing = sum(a != b and not (a != a and b != b) for a, b in zip(x.values, y.values))
        write([f"{x.text} and {y.text} {objects.shape_text(x.shape)}: {differing} of {len(x.values)} numbers differ",
               f"max abs {show(found.max_abs)}  relative {show(found.relative)}  cosine {found.cosine:.7g}",
               f"worst at {at}: {show(x.values[found.worst])} and {show(y.values[found.worst])}"])


def register():
    TensorCommand()
    Show()
    Save()
    Diff()
