"""What is announced is what is taken, and --max-memory is kept."""
import os
import re
import subprocess
import time
import unittest

from program import DEMO, PROGRAM, ProgramTest, read_floats, read_png, rgb_of_png

RUN = ("generate", "--model", DEMO, "--prompt", "a red car", "--seed", 5, "--steps", 2, "--threads", 2)
UNITS = {"MB": 1e6, "GB": 1e9}


def amount(text):
    return float(text.split()[0]) * UNITS[text.split()[1]]


class Memory(ProgramTest):
    def measured(self, *arguments):
        """What the run prints, and the most memory that it had, in bytes: VmHWM as long as it can be read. What wait4
        tells is no less than this test's own memory, which the process has between fork and exec."""
        with open(self.folder / "said", "w+") as said:
            process = subprocess.Popen([PROGRAM, *map(str, arguments)], cwd=self.folder, stdout=said,
                                       stderr=subprocess.STDOUT)
            peak = 0
            while process.poll() is None:
                try:
                    with open(f"/proc/{process.pid}/status") as status:
                        found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
                    if found and os.readlink(f"/proc/{process.pid}/exe") == os.path.realpath(PROGRAM):
                        peak = int(found[1]) * 1024
                except OSError:  # it has ended
                    pass
                time.sleep(0.002)
            said.seek(0)
            text = said.read()
        self.assertEqual(process.returncode, 0, text)
        return text, peak

    def announced(self, text):
        return amount(re.search(r"memory: (\S+ [MG]B) at the peak", text)[1])

    def test_announced_is_measured(self):
        for more in ((), ("--batch", 4), ("--width", 192, "--height", 128), ("--cfg", 1)):
            said, peak = self.measured(*RUN, *more, "--out", "p.png")
            self.assertLess(abs(self.announced(said) - peak), 0.1 * peak, f"{more}: {said} but it took {peak}")

    def test_quiet_says_nothing(self):
        self.assertNotIn("memory", self.run_well(*RUN, "--quiet", "--out", "p.png").stdout)

    def test_max_memory_is_kept_with_what_it_takes(self):
        large = (*RUN, "--width", 192, "--height", 192, "--batch", 2)
        said, peak = self.measured(*large, "--out", "a.png", "--save-latents", "a.safetensors")
        seen = set()
        for share in (0.8, 0.55):
            most = int(share * peak / 1e6)
            said, peak_now = self.measured(*large, "--max-memory", f"{most}MB", "--out", "b.png", "--save-latents",
                                           "b.safetensors")
            self.assertLess(peak_now, most * 1e6, said)
            self.assertIn("to save memory: ", said)
            seen.add(re.search("to save memory: (.*)", said)[1])
            # only tiles change the picture by more than rounding, and they come after the latents
            latents = [read_floats(self.folder / name, "latents") for name in ("a.safetensors", "b.safetensors")]
            self.assertLess(max(abs(a - b) for a, b in zip(*latents)), 1e-3)
            pictures = [rgb_of_png(self.folder / name) for name in ("a-2.png", "b-2.png")]
            if "tiles" not in said:
                self.assertLessEqual(max(abs(a - b) for a, b in zip(*pictures)), 1)
        self.assertEqual(len(seen), 2, seen)

    def test_too_little_is_refused_with_what_would_do(self):
        sentence = self.refuses(*RUN, "--max-memory", "12MB", "--out", "p.png", says=("12MB", "it takes"))
        enough = amount(re.search(r"it takes (\S+ [MG]B)", sentence)[1])
        most = f"{int(enough / 1e6) + 1}MB"
        _, peak = self.measured(*RUN, "--max-memory", most, "--out", "p.png")
        self.assertLess(peak, amount(most.replace("MB", " MB")))

    def test_sizes_of_memory(self):
        self.run_well(*RUN, "--max-memory", "1.5 GiB", "--out", "p.png")
        for bad in ("much", "3TBs", "-1GB", "0", "nan", "1e30GB"):
            self.refuses(*RUN, f"--max-memory={bad}", "--out", "q.png", says="3GB")

    def test_tiles_by_choice(self):
        large = (*RUN, "--width", 96, "--height", 80, "--quiet")
        self.run_well(*large, "--out", "whole.png")
        self.run_well(*large, "--vae-tiling", "--out", "tiled.png")  # 64 pixels, as the model was trained
        whole, tiled = (self.folder / name for name in ("whole.png", "tiled.png"))
        self.assertEqual(read_png(whole)[:2], read_png(tiled)[:2])
        differences = [abs(a - b) for a, b in zip(rgb_of_png(whole), rgb_of_png(tiled))]
        self.assertGreater(max(differences), 0)
        self.assertLess(sum(differences) / len(differences), 6)
        self.refuses(*large, "--vae-tiling", 50, "--out", "x.png", says=("50", "multiple of 16"))


if __name__ == "__main__":
    unittest.main()
