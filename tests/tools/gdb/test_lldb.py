"""Real LLDB in batch mode: test_lldb.py LLDB SUBJECT, in the root of the repository. The lines must be those of gdb."""
import glob
import os
import re
import subprocess
import sys
import unittest

import expected

LLDB, SUBJECT = sys.argv[1:3]


def environment():
    """Debian's LLDB looks for its Python modules in folders that do not exist, unless it is told."""
    found = glob.glob("/usr/lib/llvm-*/lib/python3*/dist-packages/lldb/embedded_interpreter.py")
    places = [os.path.dirname(os.path.dirname(path)) for path in found] + ["/usr/lib/python3/dist-packages"]
    return os.environ | {"PYTHONPATH": os.pathsep.join(places), "PYTHONDONTWRITEBYTECODE": "1"}


def session(commands):
    run = [LLDB, "--no-lldbinit", "-b"]
    for command in commands:
        run += ["-o", command]
    done = subprocess.run(run + ["--", SUBJECT], env=environment(), capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr


class Subject(unittest.TestCase):
    def test_same_lines_as_gdb(self):
        if "python works" not in session(["script print('python', 'works')"]):
            self.skipTest("this LLDB has no Python that works")
        names = " ".join(expected.LINES)
        stop = ["command script import tools/lldb/cutaway_lldb.py", "breakpoint set -n stop_here", "run", "up"]
        output = session(stop + [f"frame variable {names}", "continue", "up", "frame variable later"])
        if "stop reason = breakpoint" not in output:
            self.skipTest("LLDB may not run programs here")
        for name, line in expected.LINES.items():
            with self.subTest(name):
                found = re.search(rf"^\((?:const )?cutaway::\w+(?: &)?\) {name} = (?:0x[0-9a-f]+ )?(.*?)(?:: \{{)?$",
                                  output, re.MULTILINE)
                self.assertIsNotNone(found, output)
                self.assertEqual(found[1], line)
        self.assertEqual(output.count("later = Tensor, not made yet"), 2, "left over numbers were shown")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
