"""layer break, where, step, next, finish, list.

Every layer opens a Scope, whose constructor calls cutaway::trace::entered(path): one breakpoint there sees every layer
begin. A UNet call opens hundreds of scopes, so `stop` below reads one string and no more before it says no. When it
says yes, the program goes on to the layer's own operator(), where the inputs are and stepping makes sense.
"""
import fnmatch
import re

import gdb

from . import inferior, names, sources

ENTERED = "cutaway::trace::entered"
VALUE = "cutaway::Scope::operator()"
OUT = "cutaway::Scope::out"


def source(function):
    """A breakpoint location that does not depend on overloads in other classes."""
    return f"-qualified -function {function}"


def told_to_editor():
    """Is gdb driven by an editor (its machine interface)? An editor wants gdb's own report of each stop."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return re.search(rb"\0-{1,2}i(nterpreter)?[=\0]mi", file.read()) is not None
    except OSError:
        return False


TO_EDITOR = told_to_editor()


# ---- Stopping


class Landing(gdb.Breakpoint):
    """Where the constructor of a layer's Scope returns to: the layer's operator()."""
    planned = None  # the only one at a time: several breakpoints may have asked for it

    def __init__(self, path, address):
        super().__init__(f"*{address:#x}", internal=True, temporary=True)
        self.silent = not TO_EDITOR
        self.path = path
        Landing.planned = self

    def stop(self):
        if Landing.planned is not self:  # left over from a run that was killed on the way
            return False
        Landing.planned = None
        return stopping(f"layer {self.path}{step_text()}")


headline = None  # of the stop that has just been decided


def stopping(text):
    """What a `stop` returns when it means it: gdb's own words, "Temporary breakpoint -8", would say nothing."""
    global headline
    headline = text
    return True


def tell(_):
    """On every stop: which layer that is, and gdb's line about the frame, which `silent` breakpoints leave out."""
    global headline
    if headline is not None:
        gdb.write(headline + "\n")
        headline = None
        if not TO_EDITOR:
            gdb.execute("frame")


def step_text():
    try:
        now = inferior.step()
    except gdb.GdbError:
        return ""
    return f"   step {now}" if now >= 0 else "   outside of the steps"


def land(path):
    """Lets the program go on to the operator() that opened this scope. Called in trace::entered."""
    frame = gdb.newest_frame().older()
    while frame is not None and "Scope::Scope" in (frame.name() or ""):
        frame = frame.older()
    if frame is None:
        return stopping(f"layer {path}{step_text()}")  # no such frame: better here than not at all
    if Landing.planned is None or not Landing.planned.is_valid():
        Landing(path, frame.pc())
    return False


def entered_path():
    return gdb.newest_frame().read_var("path").string()


class LayerBreak(gdb.Breakpoint):
    """What `layer break` sets: seen by `info breakpoints`, `delete`, `disable`, like any other."""

    def __init__(self, pattern, step):
        super().__init__(source(ENTERED))
        self.silent = not TO_EDITOR
        self.pattern, self.step, self.hits = pattern, step, 0
        self.matches = re.compile(fnmatch.translate(pattern)).match
        if ValueBreak.only is None or not ValueBreak.only.is_valid():
            ValueBreak.only = ValueBreak()

    def stop(self):
        path = entered_path()
        if not (self.matches(path) and self.right_step()):
            return False
        self.hits += 1
        return land(path)

    def right_step(self):
        return self.step is None or inferior.step() == self.step


class ValueBreak(gdb.Breakpoint):
    """Inner values with a name of their own (unet.skips.3) open no scope: this one stops at them for all LayerBreaks.
    It stays when they go. Deleting it together with them, inside gdb's own loop over breakpoints, crashes gdb 13."""
    only = None

    def __init__(self):
        super().__init__(source(VALUE), internal=True)
        self.silent = not TO_EDITOR

    def stop(self):
        breaks = [each for each in layer_breaks() if each.enabled]
        if not breaks:
            return False
        frame = gdb.newest_frame()
        scope = inferior.OpenScope(int(frame.read_var("this")))
        path = f"{scope.path}.{frame.read_var('name').string()}"
        wanted = [each for each in breaks if each.matches(path) and each.right_step()]
        for each in wanted:
            each.hits += 1
        return bool(wanted) and stopping(f"value {path}{step_text()}: it is `value` here")


_making = None


def quietly(make):
    """What `make` returns, without gdb's line about it: that a breakpoint is in tensor/trace.cpp helps nobody."""
    global _making
    _making = make
    gdb.execute(f"python import {__name__} as commands; commands._making = commands._making()", to_string=True)
    return _making


def layer_breaks():
    return [breakpoint for breakpoint in gdb.breakpoints() if isinstance(breakpoint, LayerBreak)]


class NextLayer(gdb.Breakpoint):
    """The next scope that is opened no deeper than `most` scopes deep."""

    def __init__(self, most):
        super().__init__(source(ENTERED), internal=True)
        self.most = most

    def stop(self):
        return inferior.depth() <= self.most and land(entered_path())


class LayerOut(gdb.Breakpoint):
    """Where one scope gives its result."""

    def __init__(self, scope):
        super().__init__(source(OUT), internal=True)
        self.silent = not TO_EDITOR
        self.address, self.path = scope.address, scope.path

    def stop(self):
        if int(gdb.newest_frame().read_var("this")) != self.address:
            return False
        return stopping(f"end of layer {self.path}{step_text()}: it gives `result`")


def run_to(breakpoint):
    try:
        gdb.execute("continue")
    finally:
        if breakpoint.is_valid():  # another breakpoint came first, or the program has ended
            breakpoint.delete()


def need_running():
    if gdb.selected_inferior().pid == 0:
        raise gdb.GdbError("the program is not running; set a breakpoint (layer break PATH) and `run`")


def need_debug_information():
    """Asked before a breakpoint is set; without a program there is nothing to say yet."""
    if not gdb.current_progspace().filename:
        return
    try:
        inferior.scope_offsets()
    except gdb.error:
        raise gdb.GdbError("this program has no debug information about layers: is it Cutaway's, and built with the "
                           "preset `step`?") from None


def here():
    """The innermost open scope."""
    need_running()
    scope = inferior.innermost()
    if scope is None:
        raise gdb.GdbError("the program is in no layer now; `layer step` runs to the next one")
    return scope


# ---- Names


def known_paths():
    return names.paths_of_model(model_folder())


def model_folder():
    return names.model_folder(gdb.string_to_argv(gdb.parameter("args") or ""))


def warn_if_unknown(pattern):
    paths = known_paths()
    if not paths or names.matching(pattern, paths):
        return
    near = names.nearest(pattern, paths)
    gdb.write(f"Note: the model in {model_folder()} has no layer {pattern}" +
              (f"; near it: {', '.join(near)}" if near else "") + "\n")


# ---- Commands


class LayerCommand(gdb.Command):
    """Go through the program by the boxes of the picture: layer break, where, step, next, finish, list."""

    def __init__(self):
        super().__init__("layer", gdb.COMMAND_RUNNING, gdb.COMPLETE_NONE, True)


class Break(gdb.Command):
    """Stop where a layer begins.
layer break PATH [step N]

PATH may have `*`, which also goes over dots: unet.down_blocks.1.resnets.0, unet.mid_block.*, *.attn2. Inner values have
paths as well: unet.time_proj, unet.skips.0. With `step N` only in that step of the sampler, counted from 0. The program
stops in the layer's operator(), its inputs made. Without a path: lists these breakpoints; `delete NUMBER` removes one."""

    def __init__(self):
        super().__init__("layer break", gdb.COMMAND_BREAKPOINTS)

    def invoke(self, argument, from_tty):
        words = argument.split()
        if not words:
            list_breaks()
            return
        step = None
        if len(words) == 3 and words[1] == "step" and words[2].isdigit():
            step = int(words[2])
        elif len(words) != 1:
            raise gdb.GdbError("usage: layer break PATH [step N], with N counted from 0")
        need_debug_information()
        warn_if_unknown(words[0])
        breakpoint = quietly(lambda: LayerBreak(words[0], step))
        gdb.write(f"Breakpoint {breakpoint.number} stops at {words[0]}" +
                  (f" in step {step}\n" if step is not None else "\n"))

    def complete(self, text, word):
        words = text.split()
        if len(words) > 1 or (words and text.endswith(" ")):
            return ["step"] if len(words) == 1 or (len(words) == 2 and "step".startswith(words[1])) else []
        skip = len(text) - len(word)  # gdb completes only what follows the last dot
        return [path[skip:] for path in known_paths() if path.startswith(text)]


def list_breaks():
    breaks = layer_breaks()
    for each in breaks:
        gdb.write(f"{each.number:<4} {each.pattern}{'' if each.step is None else f'   step {each.step}'}"
                  f"{'' if each.enabled else '   disabled'}   stopped {each.hits} times\n")
    if not breaks:
        gdb.write("No breakpoints on layers; `layer break PATH` sets one.\n")


class Where(gdb.Command):
    """The way from the whole picture to the box where the program is.
layer where"""

    def __init__(self):
        super().__init__("layer where", gdb.COMMAND_STACK, gdb.COMPLETE_NONE)

    def invoke(self, argument, from_tty):
        chain = list(here().chain())[::-1]
        frames = frames_of({scope.address for scope in chain})
        now = inferior.step()
        gdb.write(f"step {now} of the sampler\n" if now >= 0 else "outside of the sampler's steps\n")
        for level, scope in enumerate(chain):
            frame = frames.get(scope.address)
            last = level == len(chain) - 1
            around = chain[level - 1].path + "." if level else ""
            name = scope.path[len(around):] if scope.path.startswith(around) else scope.path
            left = "   " * level + name
            gdb.write(f"{left:<44}{box_text(frame, scope.path)}" + ("   <- you are here\n" if last else "\n"))
        if frame := frames.get(chain[-1].address):
            gdb.write(source_text(frame))


def frames_of(addresses):
    """Scope address -> the frame that has it as a local variable."""
    found = {}
    for frame in inferior.frames():
        for symbol in inferior.locals_of(frame):
            if symbol.name == "scope" and symbol.type.strip_typedefs().name == "cutaway::Scope":
                address = int(symbol.value(frame).address)
                if address in addresses:
                    found[address] = frame
        if len(found) == len(addresses):
            break
    return found


def box_text(frame, path):
    """ResBlock, nn/resblock.h:45"""
    if frame is None:
        return ""
    box = (frame.name() or "?").removesuffix("::operator()").rpartition("::")[2]
    sal = frame.find_sal()
    label = names.label(path)
    place = f"{names.short_file(sal.symtab.filename)}:{sal.line}" if sal.symtab else ""
    return f"{label + ' ' if label else '':<4}{box:<24}{place}"


def source_text(frame):
    sal = frame.find_sal()
    lines = sources.lines_of(sal.symtab.fullname()) if sal.symtab else []
    return f"{lines[sal.line - 1].strip()}\n" if 0 < sal.line <= len(lines) else ""


class Step(gdb.Command):
    """Run to the next layer that begins, also inside this one.
layer step"""

    def __init__(self):
        super().__init__("layer step", gdb.COMMAND_RUNNING, gdb.COMPLETE_NONE)

    def invoke(self, argument, from_tty):
        need_running()
        run_to(NextLayer(1000))


class Next(gdb.Command):
    """Run to the next box at the same level of the picture; after the last one, to the next box of the level above.
layer next

What is inside this layer is run without stopping (other breakpoints still stop). Use `layer step` to go inside."""

    def __init__(self):
        super().__init__("layer next", gdb.COMMAND_RUNNING, gdb.COMPLETE_NONE)

    def invoke(self, argument, from_tty):
        need_running()
        run_to(NextLayer(max(inferior.depth(), 1)))


class Finish(gdb.Command):
    """Run to the end of this layer, where its result is made: `print result`.
layer finish"""

    def __init__(self):
        super().__init__("layer finish", gdb.COMMAND_RUNNING, gdb.COMPLETE_NONE)

    def invoke(self, argument, from_tty):
        run_to(LayerOut(here()))
        if gdb.selected_inferior().pid != 0 and gdb.newest_frame().name() == OUT:  # no other breakpoint came first
            gdb.execute("print result")


class List(gdb.Command):
    """The paths of the model's layers.
layer list [PATH]

PATH may have `*`. The names come from the model folder in the program's arguments (--model), else from weights/demo."""

    def __init__(self):
        super().__init__("layer list", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        paths = known_paths()
        if not paths:
            raise gdb.GdbError("no model is found; `set args generate --model DIR ...` names its folder")
        found = names.matching(argument.strip() or "*", paths)
        gdb.write("".join(path + "\n" for path in found) or f"no layer has the path {argument.strip()}\n")


def register():
    for command in (LayerCommand, Break, Where, Step, Next, Finish, List):
        command()
    gdb.events.stop.connect(tell)
