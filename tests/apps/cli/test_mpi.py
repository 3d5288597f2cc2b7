"""Ranks draw one picture: the same file as one program's, by rows the same but for rounding; and no rank waits for one
that has failed."""
import os
import re
import shutil
import subprocess
import unittest

from program import DEMO, ROOT, ProgramTest, read_floats, read_png, rgb_of_png

PROGRAM = os.environ.get("CUTAWAY_MPI", str(ROOT / "build/ci/cutaway_mpi"))
MPIRUN = shutil.which("mpirun") or shutil.which("mpiexec")
ROWS = ("--split", "rows")
SMALL = ("--model", DEMO, "--prompt", "a red car", "--steps", 3, "--width", 32, "--height", 32)
TALL = (*SMALL[:-4], "--width", 64, "--height", 128, "--seed", 5)  # four times the rows that a band must have


@unittest.skipIf(MPIRUN is None, "mpirun is not installed")
class Mpi(ProgramTest):
    def started(self, *programs):
        """One mpirun of several programs: (ranks, arguments...)."""
        command = [MPIRUN, "--oversubscribe", "--bind-to", "none"] + (["--allow-run-as-root"] if os.geteuid() == 0 else [])
        for i, (ranks, *arguments) in enumerate(programs):
            command += ([":"] if i > 0 else []) + ["-n", str(ranks), PROGRAM, *map(str, arguments)]
        environment = dict(os.environ, XDG_CONFIG_HOME=str(self.folder / "settings"), OMP_NUM_THREADS="1",
                           OMPI_MCA_btl_vader_single_copy_mechanism="none")  # which containers forbid
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=600, env=environment)

    def both_draw(self, *arguments, ranks=2):
        run = self.started((ranks, "generate", *arguments))
        self.assertEqual(run.returncode, 0, run.stderr)
        return run

    def refused(self, *programs, says):
        run = self.started(*programs)
        self.assertEqual(run.returncode, 2, run.stdout + run.stderr)
        lines = [line for line in run.stderr.splitlines() if line.startswith("cutaway: ")]
        self.assertEqual(len(lines), 1, run.stderr)
        for part in says:
            self.assertIn(part, lines[0])
        self.assertEqual([name for name in self.files() if name.endswith(".png")], [])

    def same_files(self, *names):
        for name in names:
            self.assertEqual((self.folder / f"one{name}").read_bytes(), (self.folder / f"two{name}").read_bytes(), name)

    def nearly_same_files(self, *names, ranks):
        """Measured: no value differs by more than 1 of 255, and one of ten thousand does."""
        for name in names:
            one, two = self.folder / f"one{name}", self.folder / f"two{name}"
            self.assertEqual(read_png(one)[:2], read_png(two)[:2])
            differences = [abs(a - b) for a, b in zip(rgb_of_png(one), rgb_of_png(two))]
            self.assertLessEqual(max(differences), 2, name)
            self.assertLessEqual(sum(differences) / len(differences), 0.005, name)
            self.assertNotIn("bands of rows", read_png(one)[3])
            self.assertEqual(read_png(two)[3]["bands of rows"], str(ranks))

    def test_the_picture_of_one_program(self):
        for arguments in (("--seed", 5, "--negative", "a blue fish"),
                          ("--seed", 5, "--width", 64, "--height", 64, "--sampler", "euler_ancestral", "--cfg", 7.5),
                          ("--seed", 5, "--sampler", "dpmpp_2m", "--conv", "direct", "--save-latents", "l.safetensors")):
            how = [*SMALL[:-4], *arguments] if "--width" in arguments else [*SMALL, *arguments]
            self.run_well("generate", *how, "--out", "one.png")
            latents = self.folder / "l.safetensors"
            before = latents.read_bytes() if latents.exists() else None
            run = self.both_draw(*how, "--out", "two.png")
            self.same_files(".png")
            self.assertEqual(before, latents.read_bytes() if latents.exists() else None)
            self.assertEqual(run.stdout.count("two.png"), 1, "rank 0 alone prints")
            self.assertEqual(run.stdout.count("step  1 of 3"), 1, run.stdout)

    def test_batches_pictures_as_a_start_previews_and_a_sheet(self):
        self.run_well("generate", *SMALL, "--seed", 5, "--out", "start.png")
        for arguments, names in ((("--batch", 5), ["-1.png", "-5.png"]),
                                 (("--init-image", "start.png", "--strength", 0.7, "--preview", 1), [".png", ".preview.png"]),
                                 (("--batch", 2, "--prompt", "a fish", "--sheet", 2), [".png"]),
                                 (("--edit", "vae.decoder.mid_block=zero", "--max-memory", "1GB"), [".png"])):
            for out, draw in (("one", self.run_well), ("two", None)):
                how = (*SMALL, "--seed", 9, *arguments, "--out", f"{out}.png")
                draw("generate", *how) if draw else self.both_draw(*how)
            self.same_files(*names)

    def test_a_random_seed_is_that_of_rank_0(self):
        self.both_draw(*SMALL, "--out", "two.png")
        self.run_well("generate", "--from", "two.png", "--out", "one.png")
        self.same_files(".png")

    def test_resume_and_shards_in_pairs(self):
        jobs = (*SMALL, "--seeds", "1..4")
        self.run_well("generate", *jobs, "--out", "one.png")
        run = self.started(*((2, "generate", *jobs, "--shard", f"{i}/2", "--out", "two.png") for i in (1, 2)))
        self.assertEqual(run.returncode, 0, run.stderr)
        names = [f"-{i}.png" for i in (1, 2, 3, 4)]
        self.same_files(*names)
        (self.folder / "two-3.png").unlink()
        run = self.both_draw(*jobs, "--resume", "--out", "two.png")
        self.assertEqual(run.stdout.count("is there already"), 3, run.stdout)
        self.same_files(*names)
        run = self.started(*((1, "generate", *jobs, "--shard", f"{i}/4", "--out", "two.png") for i in (1, 2, 3, 4)))
        self.assertEqual(run.returncode, 0, run.stderr)
        self.same_files(*names)

    # ---- Rows

    def test_rows_of_one_picture(self):
        for ranks, arguments in ((2, ("--negative", "a blue fish")),
                                 (3, ("--sampler", "euler_ancestral", "--cfg", 7.5)),  # bands of 64, 32 and 32 pixels
                                 (4, ("--sampler", "dpmpp_2m", "--cfg", 1)),
                                 (2, ("--backend", "ref"))):
            how = (*TALL, *arguments, "--save-latents", "l.safetensors")
            self.run_well("generate", *how, "--out", "one.png")
            latents = read_floats(self.folder / "l.safetensors", "latents")
            run = self.both_draw(*how, *ROWS, "--out", "two.png", ranks=ranks)
            self.nearly_same_files(".png", ranks=ranks)
            worst = max(abs(a - b) for a, b in zip(latents, read_floats(self.folder / "l.safetensors", "latents")))
            self.assertLess(worst, 1e-4)
            self.assertEqual(run.stdout.count("two.png"), 1, "rank 0 alone prints")

    def test_rows_of_batches_and_of_pictures_as_a_start(self):
        self.run_well("generate", *TALL, "--out", "start.png")
        for arguments, names in ((("--batch", 2, "--max-memory", "1GB"), ["-1.png", "-2.png"]),
                                 (("--init-image", "start.png", "--mask", "start.png", "--strength", 0.7), [".png"]),
                                 (("--seeds", "6..7", "--edit", "unet.mid_block=zero"), ["-1.png", "-2.png"])):
            how = (*(TALL[:-2] if "--seeds" in arguments else TALL), *arguments)
            self.run_well("generate", *how, "--out", "one.png")
            self.both_draw(*how, *ROWS, "--out", "two.png", ranks=3)
            self.nearly_same_files(*names, ranks=3)

    def test_rows_drawn_again(self):
        self.both_draw(*TALL, *ROWS, "--out", "two.png")
        before = (self.folder / "two.png").read_bytes()
        self.both_draw(*TALL, *ROWS, "--out", "two.png")
        self.assertEqual((self.folder / "two.png").read_bytes(), before)
        self.assertIn("is there already", self.both_draw(*TALL, *ROWS, "--resume", "--out", "two.png").stdout)
        run = self.run_well("generate", "--from", "two.png", "--out", "one.png")
        self.assertIn("2 bands of rows", run.stderr)
        self.nearly_same_files(".png", ranks=2)

    def test_refusals_of_rows(self):
        self.refused((5, "generate", *TALL, *ROWS), says=["128 pixels high", "at most 4 bands", "5 programs"])
        self.refused((2, "generate", *TALL[:-4], "--height", 144, "--seed", 5, *ROWS), says=["144", "128 or 160"])
        self.refused((1, "generate", *TALL, *ROWS), (1, "generate", *TALL), says=["--split rows", "--split guidance"])
        self.refused((3, "generate", *TALL, "--split", "guidance"), says=["3 ranks", "--split rows"])
        alone = subprocess.run([PROGRAM, "generate", *map(str, TALL), *ROWS], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual((alone.returncode, alone.stderr.count("mpirun -n 2")), (2, 1), alone.stderr)
        self.both_draw(*TALL, *ROWS, "--out", "two.png", ranks=1)  # one rank has all rows
        self.assertNotIn("bands of rows", read_png(self.folder / "two.png")[3])

    def test_a_rank_that_fails_is_not_waited_for_by_those_of_other_rows(self):
        other = ("--model", "nowhere", *TALL[2:])
        self.refused((2, "generate", *TALL, *ROWS), (1, "generate", *other, *ROWS), says=["rank 2 cannot go on", "nowhere"])
        # In the middle of a step: one rank stops at an infinity in its rows.
        nan = (*TALL, "--edit", "unet.conv_in=scale:1e38", *ROWS)
        look = (*nan, "--check-finite")
        self.refused((1, "generate", *nan), (1, "generate", *look), (1, "generate", *nan),
                     says=["rank 1 cannot go on", "the result of unet.conv_in"])
        self.refused((1, "generate", *look), (3, "generate", *nan), says=["NaN", "norm1"])  # its own rows were finite

    def test_ranks_that_would_give_the_unet_other_batches(self):
        # Large enough that a few megabytes more or less in the program itself do not decide what is saved.
        large = (*SMALL[:-4], "--width", 256, "--height", 512, "--seed", 5, *ROWS)
        run = self.started((2, "generate", *large, "--max-memory", "1MB"))
        least = int(re.search(r"it takes (\d+) MB", run.stderr)[1]) + 3  # one latent at a time, and all else that saves memory
        self.refused((1, "generate", *large), (1, "generate", *large, "--max-memory", f"{least}MB"),
                     says=["--max-memory", "all latents", "one latent"])

    # ---- Guidance and rows

    def test_refusals(self):
        self.refused((3, "generate", *SMALL, "--seed", 5), says=["3 ranks", "start 2"])
        self.refused((3, "generate", *SMALL, "--seed", 5, "--shard", "1/2"), says=["3 ranks", "--shard 1/2"])
        self.refused((2, "generate", *SMALL, "--seed", 5, "--cfg", 1), says=["--cfg 1"])
        self.refused((2, "generate", *SMALL, "--seed", 5, "--sampler", "dimm"), says=["dimm", "ddim"])
        self.refused((2, "generate", *SMALL, "--seed", 5, "--out", "no/where.png"), says=["no/where.png"])
        other = (*SMALL[:2], "--prompt", "a red cat", *SMALL[4:])
        self.refused((1, "generate", *SMALL, "--seed", 5), (1, "generate", *other, "--seed", 5),
                     says=["a red car", "a red cat"])
        self.refused((1, "generate", *SMALL, "--seed", 5), (1, "generate", *SMALL, "--seed", 5, "--isa", "generic"),
                     says=["instruction set"])

    def test_a_rank_that_fails_is_not_waited_for(self):
        mine, other = (*SMALL, "--seed", 5), ("--model", "nowhere", *SMALL[2:], "--seed", 5)
        self.refused((1, "generate", *mine), (1, "generate", *other), says=["rank 1 cannot go on", "nowhere"])
        self.refused((1, "generate", *other), (1, "generate", *mine), says=["nowhere"])
        # In the middle of the run: rank 1 stops at a NaN, while rank 0 does not look and waits for its prediction.
        nan = (*mine, "--edit", "unet.conv_in=scale:1e38")
        self.refused((1, "generate", *nan), (1, "generate", *nan, "--check-finite"), says=["rank 1 cannot go on", "NaN"])
        self.refused((1, "generate", *nan, "--check-finite"), (1, "generate", *nan), says=["NaN"])


if __name__ == "__main__":
    unittest.main()
