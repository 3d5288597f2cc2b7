"""A program that is killed at any moment leaves the old file or the whole new one.

CUTAWAY_KILLS says how many times each of the four jobs is killed (15)."""
import os
import random
import shutil
import subprocess
import time
import unittest

from program import DEMO, PROGRAM, ProgramTest

KILLS = int(os.environ.get("CUTAWAY_KILLS", "15"))
TINY = ("--model", DEMO, "--prompt", "a cat", "--seed", 1, "--steps", 1, "--width", 32, "--height", 32)


class Killed(ProgramTest):
    def setUp(self):
        super().setUp()
        self.random = random.Random(2)

    def start(self, command):
        return subprocess.Popen([PROGRAM, *map(str, command)], cwd=self.folder, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def kill(self, command, duration):
        """Half of the times at any moment, half while the output is being written: soon after the first new name."""
        before, begin = set(os.listdir(self.folder)), time.monotonic()
        process = self.start(command)
        if self.random.random() < 0.5:
            time.sleep(self.random.uniform(0, 1.2 * duration))
        else:
            while process.poll() is None and set(os.listdir(self.folder)) <= before:
                time.sleep(0.0002)
            time.sleep(self.random.random() ** 3 * duration)
        process.kill()
        self.assertIn(process.wait(), (0, -9))
        return time.monotonic() - begin

    def check(self, command, out, old, read):
        """read(out) gives what to compare: the whole of a file or a folder."""
        target = self.folder / out
        begin = time.monotonic()
        self.assertEqual(self.start(command).wait(), 0)
        duration, new = time.monotonic() - begin, read(target)
        results = {"old": 0, "new": 0}
        for _ in range(KILLS):
            self.clear()
            if old is not None:
                target.write_bytes(old)
            before = read(target)
            self.kill(command, duration)
            after = read(target)
            self.assertIn(after, (before, new), f"{out} is neither the old nor the new one")
            results["old" if after == before else "new"] += 1
            left = set(os.listdir(self.folder)) - {out}
            for name in left:
                self.assertTrue(name.startswith(".cutaway-") and name.endswith(".tmp") or ".partial-" in name, name)
        print(f"{command[0]} {out}: killed {KILLS} times, {results['old']} old, {results['new']} new")
        self.assertGreater(results["old"], 0)

    def clear(self):
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @staticmethod
    def file(path):
        return path.read_bytes() if path.exists() else None

    @staticmethod
    def whole_folder(path):
        if not path.exists():
            return None
        return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}

    def test_generate(self):
        self.check(["generate", *TINY, "--out", "p.png"], "p.png", b"the old picture", self.file)

    def test_trace(self):
        self.check(["trace", *TINY, "--out", "t.safetensors"], "t.safetensors", b"the old trace", self.file)

    def test_convert_to_a_file(self):
        self.check(["convert", DEMO, "--out", "c.safetensors"], "c.safetensors", b"the old file", self.file)

    def test_convert_to_a_folder(self):
        self.check(["convert", DEMO, "--out", "model"], "model", None, self.whole_folder)


if __name__ == "__main__":
    unittest.main()
