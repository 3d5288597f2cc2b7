"""From prompt to picture, as a user runs it."""
import unittest

from program import DEMO, ProgramTest, read_floats, read_png, read_safetensors, rgb_of_png

SHORT = ("--model", DEMO, "--prompt", "a red car", "--seed", 5, "--steps", 3, "--quiet")


class Generate(ProgramTest):
    def test_picture_says_how_it_was_made(self):
        result = self.run_well("generate", "--model", DEMO, "--prompt", "a cat on 日本", "--seed", 7, "--steps", 2,
                               "--negative", "dog", "--out", "cat.png")
        width, height, _, texts = read_png(self.folder / "cat.png")
        self.assertEqual((width, height), (64, 64))
        self.assertEqual(texts["prompt"], "a cat on 日本")
        self.assertEqual(texts["negative prompt"], "dog")
        self.assertEqual((texts["seed"], texts["steps"], texts["sampler"], texts["cfg"]), ("7", "2", "ddim", "5"))
        self.assertIn("cutaway", texts["Software"])
        self.assertIn("cat.png  seed 7", result.stdout)
        self.assertEqual(result.stdout.count("step "), 2)
        self.assertEqual(self.files(), ["cat.png"])

    def test_same_bytes_for_every_number_of_threads(self):
        expected = None
        for threads in (1, 2, 3, 4, 8):
            self.run_well("generate", *SHORT, "--threads", threads, "--save-latents", "l.safetensors", "--out", "p.png")
            self.run_well("trace", "--model", DEMO, "--prompt", "a red car", "--seed", 5, "--steps", 1, "--threads",
                          threads, "--out", "t.safetensors")
            got = [(self.folder / name).read_bytes() for name in ("p.png", "l.safetensors", "t.safetensors")]
            expected = expected or got
            for name, a, b in zip(("picture", "latents", "trace"), expected, got):
                self.assertEqual(a, b, f"the {name} with {threads} threads is not that with 1 thread")

    def test_samplers_and_seeds_give_pictures_of_their_own(self):
        pictures = {}
        for sampler in ("ddim", "ddpm", "euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_karras"):
            self.run_well("generate", *SHORT, "--sampler", sampler, "--out", "p.png")
            pictures[sampler] = rgb_of_png(self.folder / "p.png")
        self.run_well("generate", *SHORT[:5], 6, *SHORT[6:], "--out", "p.png")
        pictures["ddim, seed 6"] = rgb_of_png(self.folder / "p.png")
        # DDPM's step is that of Euler ancestral in other variables: the same picture but for rounding.
        ancestral = pictures.pop("euler_ancestral")
        self.assertLessEqual(max(abs(a - b) for a, b in zip(ancestral, pictures["ddpm"])), 2)
        self.assertEqual(len({bytes(picture) for picture in pictures.values()}), 6)

    def test_batch_is_the_pictures_one_by_one(self):
        self.run_well("generate", *SHORT, "--batch", 2, "--save-latents", "both.safetensors", "--out", "both.png")
        self.run_well("generate", *SHORT[:5], 6, *SHORT[6:], "--save-latents", "one.safetensors", "--out", "one.png")
        self.assertEqual(self.files(), ["both-1.png", "both-2.png", "both.safetensors", "one.png", "one.safetensors"])
        both = read_floats(self.folder / "both.safetensors", "latents")
        one = read_floats(self.folder / "one.safetensors", "latents")
        self.assertEqual(len(both), 2 * len(one))
        self.assertLess(max(abs(a - b) for a, b in zip(both[len(one):], one)), 1e-3)
        self.assertEqual(read_floats(self.folder / "both.safetensors", "noise")[len(one):],
                         read_floats(self.folder / "one.safetensors", "noise"))

    def test_latents_start_a_run_where_another_began(self):
        self.run_well("generate", *SHORT, "--save-latents", "run.safetensors", "--out", "a.png")
        tensors, _ = read_safetensors(self.folder / "run.safetensors")
        self.assertEqual(list(tensors), ["noise", "latent_00", "latent_01", "latent_02", "latents"])
        self.run_well("generate", *SHORT[:5], 99, *SHORT[6:], "--latents", "run.safetensors:noise", "--out", "b.png")
        self.assertEqual(read_png(self.folder / "a.png")[2], read_png(self.folder / "b.png")[2])

    def test_other_sizes(self):
        self.run_well("generate", *SHORT, "--width", 96, "--height", 48, "--out", "wide.png")
        self.assertEqual(read_png(self.folder / "wide.png")[:2], (96, 48))

    def test_help_and_version(self):
        for command in ("generate", "trace", "compare", "verify", "bench"):
            text = self.run_well(command, "--help").stdout
            self.assertIn("--threads", text)
        version = self.run_well("--version").stdout
        for part in ("cutaway", "build type", "compiler", "instruction sets", "threads"):
            self.assertIn(part, version)

    def test_long_prompt_names_the_words_left_out(self):
        result = self.run_well("generate", "--model", DEMO, "--prompt", "a cat " * 80 + "on the moon", "--steps", 1)
        self.assertIn("left out", result.stderr)
        self.assertIn("on the moon", result.stderr)


if __name__ == "__main__":
    unittest.main()
