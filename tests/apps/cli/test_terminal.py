"""What only a terminal sees: the groups of --help, and the bar with the time left."""
import os
import pty
import re
import subprocess
import unittest

from program import DEMO, PROGRAM, ProgramTest

LONG = ["generate", "--model", DEMO, "--prompt", "a cat", "--seed", 0, "--width", 128, "--height", 128, "--steps", 60]
BAR = re.compile(r"\r\[#* *\] (\d+) of (\d+) (\w+), [\d hmins]+ left\x1b\[K")


class Terminal(ProgramTest):
    def on_terminal(self, *arguments):
        """What a run prints on stdout, a file, and on stderr, a terminal."""
        ours, theirs = pty.openpty()
        with (open(self.folder / "printed", "w", encoding="utf-8") as out,
              subprocess.Popen([PROGRAM, *map(str, arguments)], cwd=self.folder, stdout=out, stderr=theirs) as run):
            os.close(theirs)
            seen = b""
            try:
                while part := os.read(ours, 4096):
                    seen += part
            except OSError:  # all have closed the terminal
                pass
        os.close(ours)
        self.assertEqual(run.returncode, 0, seen)
        return (self.folder / "printed").read_text(encoding="utf-8"), seen.decode()

    def check_bar(self, seen, counted):
        self.assertEqual(BAR.sub("", seen).replace("\r\x1b[K", ""), "", "nothing but the bar")
        bars = BAR.findall(seen)
        self.assertGreater(len(bars), 0)
        self.assertEqual({what for _, _, what in bars}, {counted})
        done = [int(number) for number, _, _ in bars]
        self.assertEqual(done, sorted(done))
        self.assertTrue(seen.endswith("\r\x1b[K"), "nothing is left of it")
        return int(bars[0][1])

    def test_generate_shows_the_steps_and_the_time_left(self):
        printed, seen = self.on_terminal(*LONG, "--prompt", "a dog")
        self.assertEqual(self.check_bar(seen, "steps"), 120)
        self.assertEqual(len(re.findall(r"^step +\d+ of 60 ", printed, re.M)), 120)

    def test_quiet_and_pipes_show_none(self):
        self.assertEqual(self.on_terminal(*LONG, "--quiet")[1], "")
        result = self.run_well(*LONG)
        self.assertEqual(result.stderr, "")
        self.assertNotIn("left", result.stdout)

    def test_short_work_shows_none(self):
        self.assertEqual(self.on_terminal("describe", "--size", "sd15")[1], "")

    def test_bench_shows_the_calls(self):
        self.check_bar(self.on_terminal("bench", "clip", "--repeat", 100)[1], "calls")

    def test_help_is_in_groups(self):
        text = self.run_well("generate", "--help").stdout
        groups = re.findall(r"^(\w.*):$", text, re.M)
        self.assertEqual(groups, ["Options", "Which picture", "Which model", "Like which program", "More pictures",
                                  "From a picture", "Where to", "Memory", "Looking inside", "How it is computed"])
        for command in ("generate", "trace", "compare", "tokenize", "verify", "bench", "describe", "inspect", "convert", "config"):
            self.assertNotIn("->", self.run_well(command, "--help").stdout)


if __name__ == "__main__":
    unittest.main()
