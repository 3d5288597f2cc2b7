"""Real LLDB in batch mode: test_lldb.py LLDB PROGRAM SUBJECT, in the root of the repository. The lines must be those of gdb.

PROGRAM is the unoptimised `cutaway`, SUBJECT tests/tools/gdb/subject.cpp.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

import expected

LLDB, PROGRAM, SUBJECT = sys.argv[1:4]
LOAD = "command script import tools/lldb/cutaway_lldb.py"


def environment():
    """Debian's LLDB looks for its Python modules in folders that do not exist, unless it is told."""
    found = glob.glob("/usr/lib/llvm-*/lib/python3*/dist-packages/lldb/embedded_interpreter.py")
    places = [os.path.dirname(os.path.dirname(path)) for path in found] + ["/usr/lib/python3/dist-packages"]
    return os.environ | {"PYTHONPATH": os.pathsep.join(places), "PYTHONDONTWRITEBYTECODE": "1"}


def session(commands, *program):
    run = [LLDB, "--no-lldbinit", "-b"]
    for command in commands:
        run += ["-o", command]
    done = subprocess.run(run + ["--", *(program or [SUBJECT])], env=environment(), capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr


def setUpModule():
    if "python works" not in session(["script print('python', 'works')"]):
        raise unittest.SkipTest("this LLDB has no Python that works")
    if "stop reason = breakpoint" not in session(["breakpoint set -n main", "run"]):
        raise unittest.SkipTest("LLDB may not run programs here")


class Program(unittest.TestCase):
    """The demo model, stopped in a ResBlock."""

    def test_a_layer(self):
        tensor = r"= Tensor \[[\d, ]+\] f32  min \S+ max \S+ mean \S+ std \S+ nan 0  \{"
        with tempfile.TemporaryDirectory() as folder:
            output = session([LOAD, r"breakpoint set -r ResBlock::operator\(\)", "run", "next", "next", "frame variable", "p x",
                              "print conv1.weight", "up", "p skips", "kill"],
                             PROGRAM, "generate", "--model", "weights/demo", "--prompt", "a fish", "--steps", "1", "--quiet",
                             "--out", f"{folder}/picture.png")
        variables = output.partition("(lldb) frame variable")[2]
        for name in ("x", "temb", "h"):
            self.assertRegex(variables, rf"\(cutaway::Tensor\) {name} {tensor}")
        self.assertIn("skip = Tensor, not made yet", variables)
        self.assertIn("scope = Scope unet.down_blocks.0.resnets.0\n", variables)
        self.assertRegex(variables, rf"\(lldb\) p x\n\(cutaway::Tensor\) x {tensor}")
        self.assertIn("conv1.weight = Weight down_blocks.0.resnets.0.conv1.weight [32, 32, 3, 3] f16  min ", variables)
        self.assertRegex(variables.partition("(lldb) p skips")[2], rf"\[0\] {tensor}")


class Subject(unittest.TestCase):
    def test_same_lines_as_gdb(self):
        names = " ".join(expected.LINES)
        stop = [LOAD, "breakpoint set -n stop_here", "run", "up"]
        output = session(stop + [f"frame variable {names}", "continue", "up", "frame variable later"])
        for name, line in expected.LINES.items():
            with self.subTest(name):
                found = re.search(rf"^\((?:const )?cutaway::\w+(?: &)?\) {name} = (?:0x[0-9a-f]+ )?(.*?)(?:: \{{)?$",
                                  output, re.MULTILINE)
                self.assertIsNotNone(found, output)
                self.assertEqual(found[1], line)
        self.assertEqual(output.count("later = Tensor, not made yet"), 2, "left over numbers were shown")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
