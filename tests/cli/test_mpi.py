"""Two ranks draw one picture: the same file as one program's, and no rank waits for one that has failed."""
import os
import shutil
import subprocess
import unittest

from program import DEMO, PROGRAM, ProgramTest

MPIRUN = shutil.which("mpirun") or shutil.which("mpiexec")
SMALL = ("--model", DEMO, "--prompt", "a red car", "--steps", 3, "--width", 32, "--height", 32)


@unittest.skipIf(MPIRUN is None, "mpirun is not installed")
class Mpi(ProgramTest):
    def started(self, *programs):
        """One mpirun of several programs: (ranks, arguments...)."""
        command = [MPIRUN, "--oversubscribe", "--bind-to", "none"] + (["--allow-run-as-root"] if os.geteuid() == 0 else [])
        for i, (ranks, *arguments) in enumerate(programs):
            command += ([":"] if i > 0 else []) + ["-n", str(ranks), PROGRAM, *map(str, arguments)]
        environment = dict(os.environ, XDG_CONFIG_HOME=str(self.folder / "settings"), OMP_NUM_THREADS="1")
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, env=environment)

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
