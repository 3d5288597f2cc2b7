"""Many pictures in one command: a list of prompts and seeds, dealt out to machines, done again where it broke off."""
import os
import subprocess
import unittest

from program import DEMO, PROGRAM, ROOT, ProgramTest, read_png

SMALL = ("--model", DEMO, "--steps", 2, "--width", 32, "--height", 32, "--quiet")
PROMPTS = ["a red car", "[a cat, a dog]", "ein Fuchs, böse"]
JOBS = ("--prompts-file", "prompts.txt", "--seeds", "3..5")  # nine pictures


class Shards(ProgramTest):
    def setUp(self):
        super().setUp()
        (self.folder / "prompts.txt").write_bytes(
            b"\xef\xbb\xbf" + "\r\n".join([PROMPTS[0], "", *PROMPTS[1:]]).encode("utf-8"))

    def draw(self, folder, *arguments):
        (self.folder / folder).mkdir(exist_ok=True)
        return self.run_well("generate", *SMALL, *arguments, "--out", f"{folder}/p.png")

    def pictures(self, folder):
        """name -> bytes, of all files there."""
        return {path.name: path.read_bytes() for path in (self.folder / folder).iterdir()}

    # ---- Many prompts, many seeds

    def test_each_prompt_is_drawn_with_each_seed_as_if_alone(self):
        self.draw("all", *JOBS)
        self.assertEqual(sorted(self.pictures("all")), [f"p-{i}.png" for i in range(1, 10)])
        for i, (prompt, seed) in enumerate([(p, s) for p in PROMPTS for s in (3, 4, 5)], 1):
            texts = read_png(self.folder / f"all/p-{i}.png")[3]
            self.assertEqual((texts["prompt"], texts["seed"]), (prompt, str(seed)))
            if i % 4 == 1:
                self.run_well("generate", *SMALL, f"--prompt={prompt}", "--seed", seed, "--out", "alone.png")
                self.assertEqual((self.folder / "alone.png").read_bytes(), self.pictures("all")[f"p-{i}.png"])

    def test_prompts_of_the_file_follow_those_of_the_command(self):
        self.draw("all", "--prompt", "a fish", "--prompts-file", "prompts.txt", "--seed", 8)
        said = [read_png(self.folder / f"all/p-{i}.png")[3] for i in range(1, 5)]
        self.assertEqual([texts["prompt"] for texts in said], ["a fish", *PROMPTS])
        self.assertEqual([texts["seed"] for texts in said], ["8", "9", "10", "11"])

    def test_an_earlier_picture_with_other_seeds(self):
        self.draw("one", "--prompt", "a fish", "--seed", 1, "--batch", 2)
        self.run_well("generate", "--from", "one/p-2.png", "--seeds", "1..3", "--out", "one/q.png")
        self.assertEqual(read_png(self.folder / "one/q-2.png")[3]["seed"], "2")
        self.assertEqual(read_png(self.folder / "one/q-2.png")[2], read_png(self.folder / "one/p-2.png")[2])

    def test_a_picture_of_a_batch_has_the_same_pixels_alone(self):
        # 64 x 64 has a level of 2 x 2, where a matrix product of all rows could round otherwise than one of few.
        for size in (64, 32):
            for name, *which in (("batch", "--seed", 20, "--batch", 5), ("alone", "--seeds", "20..24")):
                (self.folder / name).mkdir(exist_ok=True)
                self.run_well("generate", "--model", DEMO, "--steps", 2, "--width", size, "--height", size, "--quiet",
                              "--prompt", "a fish", *which, "--out", f"{name}/p.png")
            for i in range(1, 6):
                self.assertEqual(read_png(self.folder / f"batch/p-{i}.png")[2],
                                 read_png(self.folder / f"alone/p-{i}.png")[2], f"{size}, picture {i}")

    # ---- Shards

    def test_all_shards_together_write_the_files_of_one_run(self):
        self.draw("one", *JOBS)
        for count in (2, 4):
            names = []
            for i in range(1, count + 1):
                self.draw(f"each{count}-{i}", *JOBS, "--shard", f"{i}/{count}")
                names += self.pictures(f"each{count}-{i}")
                self.draw(f"together{count}", *JOBS, "--shard", f"{i}/{count}", "--threads", 1 + i % 2)
            self.assertEqual(len(names), len(set(names)), "two shards drew the same picture")
            self.assertEqual(self.pictures(f"together{count}"), self.pictures("one"))
        self.assertEqual(sorted(self.pictures("each4-1")), ["p-1.png", "p-5.png", "p-9.png"])

    def test_batches_are_dealt_out_whole(self):
        batches = ("--prompt", "a cat", "--prompt", "a fish", "--prompt", "a dog", "--seed", 4, "--batch", 2)
        self.draw("one", *batches)
        for i in (1, 2):
            self.draw("together", *batches, "--shard", f"{i}/2")
        self.assertEqual(self.pictures("together"), self.pictures("one"))

    def test_a_shard_may_have_nothing_to_do(self):
        self.draw("none", "--prompt", "a cat", "--seeds", "1..2", "--shard", "3/3")
        self.assertEqual(self.pictures("none"), {})

    def test_refusals(self):
        few = (*SMALL, "--prompt", "a cat")
        for shard in ("0/3", "4/3", "x", "1/0", "-1/3", "1/", "/3", "1/3/4", "1.5/3", " 1/3"):
            self.refuses("generate", *few, "--seed", 1, f"--shard={shard}", says=["--shard", shard, "1 to N"])
        self.refuses("generate", *few, "--shard", "1/2", says=["--shard", "--seed", "random"])
        self.refuses("generate", *few, "--resume", says=["--resume", "--seed", "random"])
        for seeds in ("5..3", "a..b", "..", "1..", "-1..3", "1...3", "1..99999999999999999999"):
            self.refuses("generate", *few, f"--seeds={seeds}", says=["--seeds", seeds, "A..B"])
        self.refuses("generate", *few, "--seeds", "0..18446744073709551615", says="1000000")
        self.refuses("generate", *few, "--seeds", "0..1000000", says="1000000")
        self.refuses("generate", *few, "--seeds", "1..2", "--seed", 1, says=["--seed ", "--seeds"])
        self.refuses("generate", *few, "--seeds", "1..2", "--batch", 2, says=["--seeds", "--batch"])
        self.refuses("generate", *few, "--seeds", "1..2", "--save-latents", "l.st", says="--save-latents")
        for other in (("--shard", "1/2", "--seed", 1), ("--resume", "--seed", 1), ("--seeds", "1..2")):
            self.refuses("generate", *few, "--sheet", 2, *other, says=["--sheet", other[0]])
        self.refuses("generate", *SMALL, "--prompts-file", "none.txt", says="none.txt")
        for name, content in (("empty.txt", b"\n\r\n"), ("bytes.txt", b"a cat\n\xff\xfe\n"), ("zero.txt", b"a\0b\n")):
            (self.folder / name).write_bytes(content)
            self.refuses("generate", *SMALL, "--prompts-file", name, says=name)

    def test_ranks_of_mpirun_without_mpi(self):
        ranks = {"env": dict(os.environ, OMPI_COMM_WORLD_SIZE="2")}
        how = (*SMALL, "--prompt", "a cat", "--seed", 1)
        self.refuses("generate", *how, says=["2 times", "cutaway_mpi", "--shard"], **ranks)
        self.refuses("generate", *how, "--split", "rows", says=["--split", "cutaway_mpi"])
        self.refuses("generate", *how, "--split", "columns", says=["columns", "rows"])
        self.run_well("generate", *how, "--shard", "1/2", **ranks)

    # ---- The scripts of docs/larger-than-one-machine.md

    def run_script(self, name, *arguments, **variables):
        environment = dict(os.environ, CUTAWAY=PROGRAM, XDG_CONFIG_HOME=str(self.folder / "settings"), **variables)
        script = ROOT / "docs/larger-than-one-machine" / name
        run = subprocess.run(["bash", script, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
                             timeout=300, env=environment)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def test_the_scripts(self):
        (self.folder / "prompts.txt").write_text("a fish\n")
        (self.folder / "pictures").mkdir()
        out = self.run_script("without_slurm.sh", DEMO, SEEDS="0..2", ISA="generic")
        self.assertEqual(out.count(".png  seed"), 3, out)
        whole = self.pictures("pictures")
        self.assertEqual(sorted(whole), ["p-1.png", "p-2.png", "p-3.png"])
        # Two machines, which a stand-in for ssh starts here.
        (self.folder / "ssh").write_text('#!/bin/sh\nexec sh -c "$2"\n')
        (self.folder / "ssh").chmod(0o755)
        path = f"{self.folder}:{os.environ['PATH']}"
        (self.folder / "pictures/p-2.png").unlink()
        out = self.run_script("without_slurm.sh", DEMO, "one", "two", SEEDS="0..2", ISA="generic", PATH=path)
        self.assertEqual(out.count("is there already"), 2, out)
        self.assertEqual(self.pictures("pictures"), whole)
        # A task of the array that has three of its hundred seeds' pictures to do.
        out = self.run_script("array.sbatch", MODEL=str(DEMO), ISA="generic", SLURM_ARRAY_TASK_ID="2", SLURM_ARRAY_TASK_COUNT="34")
        self.assertEqual(out.count(".png  seed"), 3, out)
        self.assertEqual(sorted(self.pictures("pictures")), ["p-1.png", "p-2.png", "p-3.png", "p-36.png", "p-70.png"])

    # ---- Going on where it broke off

    def test_resume_leaves_out_what_is_done_and_does_the_rest_again(self):
        self.draw("p", *JOBS)
        whole = self.pictures("p")
        folder = self.folder / "p"
        damages = {  # what has become of a file: missing, half-written, a bit turned, another picture, no picture, empty
            "p-1.png": None,
            "p-2.png": whole["p-2.png"][:-40],
            "p-3.png": whole["p-3.png"][:-30] + bytes([whole["p-3.png"][-30] ^ 1]) + whole["p-3.png"][-29:],
            "p-4.png": whole["p-5.png"],
            "p-6.png": b"no picture",
            "p-7.png": b"",
        }
        for name, content in damages.items():
            (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        before = {name: (folder / name).stat().st_mtime_ns for name in whole if name not in damages}
        out = self.draw("p", *JOBS, "--resume").stdout
        self.assertEqual(self.pictures("p"), whole)
        self.assertEqual(before, {name: (folder / name).stat().st_mtime_ns for name in before})
        self.assertEqual(out.count("is there already"), 3, out)
        self.assertEqual(len(out.splitlines()), 9, out)

        # All there: nothing is written. Another way of drawing: all of them.
        stamps = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        for i in (1, 2):
            self.draw("p", *JOBS, "--resume", "--shard", f"{i}/2")
        self.assertEqual(stamps, {path.name: path.stat().st_mtime_ns for path in folder.iterdir()})
        out = self.draw("p", *JOBS, "--resume", "--cfg", 3).stdout
        self.assertNotIn("is there already", out)
        self.assertEqual(read_png(folder / "p-9.png")[3]["cfg"], "3")

    def test_resume_adds_seeds_and_takes_batches_whole(self):
        self.draw("p", "--prompt", "a cat", "--seeds", "1..2")
        out = self.draw("p", "--prompt", "a cat", "--seeds", "1..4", "--resume").stdout
        self.assertEqual(out.count("is there already"), 2, out)
        batch = ("--prompt", "a cat", "--prompt", "a dog", "--seed", 4, "--batch", 2)
        self.draw("b", *batch)
        whole = self.pictures("b")
        (self.folder / "b/p-3.png").unlink()
        out = self.draw("b", *batch, "--resume").stdout
        self.assertEqual(out.count("is there already"), 2, out)
        self.assertEqual(self.pictures("b"), whole)


if __name__ == "__main__":
    unittest.main()
