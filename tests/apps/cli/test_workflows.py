"""Pictures as a start, masks, previews, sizes, and drawing a picture again from what it says."""
import shutil
import struct
import unittest

from program import DEMO, ProgramTest, read_floats, read_png, read_safetensors, rgb_of_png, write_png

SHORT = ("--model", DEMO, "--prompt", "a red car", "--seed", 5, "--steps", 4, "--quiet")
SAMPLERS = ("ddim", "ddpm", "euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_karras")


class Workflows(ProgramTest):
    def setUp(self):
        super().setUp()
        write_png(self.folder / "start.png", 64, 64, lambda x, y: (255, 4 * y, 2 * x))
        write_png(self.folder / "mask.png", 64, 64, lambda x, y: (255,) * 3 if x < 32 else (0,) * 3)

    def latents(self, *arguments, name="latents"):
        self.run_well("generate", *SHORT, *arguments, "--save-latents", "l.safetensors", "--out", "p.png")
        return read_floats(self.folder / "l.safetensors", name)

    def same_picture(self, a, b):
        self.assertEqual(read_png(self.folder / a)[2], read_png(self.folder / b)[2])

    # ---- From a picture

    def test_numbers_of_products(self):
        draw = ["generate", "--prompt", "a fish", "--steps", 2, "--seed", 3, "--quiet"]
        self.run_well(*draw, "--out", "f32.png")
        self.run_well(*draw, "--dtype", "bf16", "--out", "bf16.png")
        self.assertNotEqual(rgb_of_png(self.folder / "f32.png"), rgb_of_png(self.folder / "bf16.png"))
        self.assertEqual(read_png(self.folder / "bf16.png")[3]["dtype"], "bf16")
        self.run_well("generate", "--from", "bf16.png", "--quiet", "--out", "again.png")
        self.assertEqual(rgb_of_png(self.folder / "again.png"), rgb_of_png(self.folder / "bf16.png"))
        self.refuses(*draw, "--dtype", "f16", says=["'f16'", "f32 and bf16"])

    def test_guidance_rescaled(self):
        draw = ["generate", *SHORT, "--cfg", 12]
        self.run_well(*draw, "--out", "plain.png")
        self.run_well(*draw, "--cfg-rescale", 0, "--out", "none.png")
        self.run_well(*draw, "--cfg-rescale", 0.7, "--out", "rescaled.png")
        self.assertEqual(read_png(self.folder / "none.png"), read_png(self.folder / "plain.png"))
        self.assertNotIn("cfg rescale", read_png(self.folder / "plain.png")[3])
        self.assertEqual(read_png(self.folder / "rescaled.png")[3]["cfg rescale"], "0.7")
        self.assertNotEqual(rgb_of_png(self.folder / "rescaled.png"), rgb_of_png(self.folder / "plain.png"))
        self.run_well("generate", "--from", "rescaled.png", "--quiet", "--out", "again.png")
        self.same_picture("again.png", "rescaled.png")
        self.run_well("generate", "--from", "rescaled.png", "--cfg-rescale", 0, "--quiet", "--out", "again.png")
        self.same_picture("again.png", "plain.png")
        for rescale in (-0.1, 1.5, "nan"):
            self.refuses(*draw, "--cfg-rescale", rescale, says=["rescale", "from 0 (none) to 1"])

    def test_guidance_rescaled_in_a_trace(self):
        record = ["trace", "--model", DEMO, "--prompt", "a cat", "--seed", 3, "--steps", 2, "--layers", "unet"]
        self.run_well(*record, "--out", "plain.safetensors")
        self.assertNotIn("cfg rescale", read_safetensors(self.folder / "plain.safetensors")[1])
        self.run_well(*record, "--cfg-rescale", 0.7, "--out", "t.safetensors")
        self.assertAlmostEqual(float(read_safetensors(self.folder / "t.safetensors")[1]["cfg rescale"]), 0.7, places=6)
        self.assertIn("equal: no layer differs", self.run_well("compare", "t.safetensors", "--free").stdout)

    def test_strength_says_how_many_steps_are_taken_and_how_near_the_picture_stays(self):
        self.run_well("generate", *SHORT[:-3], "--init-image", "start.png", "--strength", 0.01, "--steps", 100,
                      "--save-latents", "l.safetensors", "--out", "p.png")  # next to nothing: nearly the picture
        start = read_floats(self.folder / "l.safetensors", "latents")
        distances = []
        for strength, steps in ((0.3, 1), (0.5, 2), (0.99, 3), (1, 4)):
            latents = self.latents("--init-image", "start.png", "--strength", strength)
            names = [name for name in read_safetensors(self.folder / "l.safetensors")[0] if name.startswith("latent_")]
            self.assertEqual(len(names), steps)
            distances.append(sum((a - b) ** 2 for a, b in zip(latents, start)))
        self.assertEqual(distances, sorted(distances))
        self.assertGreater(distances[-1], 2 * distances[0])

    def test_every_sampler_starts_in_the_middle(self):
        pictures = set()
        for sampler in SAMPLERS:
            latents = self.latents("--init-image", "start.png", "--strength", 0.6, "--sampler", sampler)
            self.assertLess(max(map(abs, latents)), 12, sampler)  # a wrong scale would explode
            pictures.add(latents)
        self.assertEqual(len(pictures), len(SAMPLERS))

    def test_refusals(self):
        image, mask = ("--init-image", "start.png"), ("--mask", "mask.png")
        self.refuses("generate", *SHORT, *mask, says=["--mask", "--init-image"])
        self.refuses("generate", *SHORT, "--strength", 0.5, says=["--strength", "--init-image"])
        for strength in (0, -1, 1.5, "nan"):
            self.refuses("generate", *SHORT, *image, "--strength", strength, says="strength")
        self.refuses("generate", *SHORT, *image, "--strength", 0.2, says=["no step", "5 steps"])
        self.refuses("generate", *SHORT, "--init-image", "none.png", says="none.png")
        (self.folder / "photo.png").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
        self.refuses("generate", *SHORT, "--init-image", "photo.png", says=["photo.png", "JPEG"])
        (self.folder / "cut.png").write_bytes((self.folder / "start.png").read_bytes()[:200])
        self.refuses("generate", *SHORT, "--init-image", "cut.png", says=["cut.png", "ends in the middle"])
        write_png(self.folder / "small.png", 32, 64, lambda x, y: (0, 0, 0))
        self.refuses("generate", *SHORT, *image, "--mask", "small.png", says=["32 x 64", "64 x 64"])
        write_png(self.folder / "huge.png", 400, 200, lambda x, y: (0, 0, 0))
        self.refuses("generate", *SHORT, "--init-image", "huge.png", says=["400 x 200", "--width 92 --height 44"])

    def test_the_result_has_the_pictures_size_or_the_one_asked_for(self):
        write_png(self.folder / "odd.png", 50, 70, lambda x, y: (255, 4 * x, 3 * y))
        for arguments, size in (((), (48, 68)), (("--width", 100), (100, 140)), (("--height", 36), (24, 36)),
                                (("--width", 48, "--height", 64), (48, 64))):
            result = self.run_well("generate", *SHORT, "--init-image", "odd.png", "--strength", 0.3, *arguments,
                                   "--out", "p.png")
            self.assertEqual(read_png(self.folder / "p.png")[:2], size)
            self.assertNotIn("stretched", result.stderr)
        result = self.run_well("generate", *SHORT, "--init-image", "odd.png", "--strength", 0.3, "--width", 64,
                               "--height", 64, "--out", "p.png")
        self.assertIn("stretched", result.stderr)

    # ---- Inpainting

    def test_what_the_mask_keeps_stays_and_the_rest_is_new(self):
        for sampler in SAMPLERS:
            self.run_well("generate", *SHORT, "--sampler", sampler, "--init-image", "start.png", "--mask", "mask.png",
                          "--out", "p.png", "--save-latents", "l.safetensors")
            last = read_floats(self.folder / "l.safetensors", "latents")
            self.run_well("generate", *SHORT, "--sampler", sampler, "--init-image", "start.png", "--mask", "mask.png",
                          "--negative", "a fish", "--out", "q.png", "--save-latents", "l.safetensors")
            other = read_floats(self.folder / "l.safetensors", "latents")
            kept = [i for i in range(len(last)) if i % 16 >= 8]
            self.assertEqual([last[i] for i in kept], [other[i] for i in kept], sampler)
            self.assertNotEqual(last, other)

    def inpainting_model(self):
        """The demo model with the five more input channels of an inpainting model."""
        model = self.copy_of_demo("inpainting")
        config = model / "unet/config.json"
        config.write_text(config.read_text().replace('"in_channels": 4', '"in_channels": 9'))
        path = model / "unet/diffusion_pytorch_model.safetensors"
        tensors, _ = read_safetensors(path)
        dtype, shape, data = tensors["conv_in.weight"]
        out, kernel = shape[0], 9 * len(data) // (shape[0] * 4 * 9)  # bytes of one 3x3 kernel
        wide = b"".join(data[4 * kernel * o:4 * kernel * (o + 1)] + struct.pack("<e", 0.02 * (o % 7 - 3)) * 45
                        for o in range(out))
        tensors["conv_in.weight"] = (dtype, [out, 9, 3, 3], wide)
        header, blob = {}, b""
        for name, (kind, size, content) in tensors.items():
            header[name] = {"dtype": kind, "shape": size, "data_offsets": [len(blob), len(blob) + len(content)]}
            blob += content
        import json
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + blob)
        return model

    def test_an_inpainting_model_sees_mask_and_masked_picture(self):
        model = self.inpainting_model()
        arguments = ("--model", model, *SHORT[2:])
        self.refuses("generate", *arguments, says=["inpainting model", "--init-image", "--mask"])
        self.refuses("generate", *arguments, "--init-image", "start.png", says="--mask")
        write_png(self.folder / "blue.png", 64, 64, lambda x, y: (0, 0, 255) if x < 32 else (255, 4 * y, 2 * x))
        write_png(self.folder / "all.png", 64, 64, lambda x, y: (255, 255, 255))
        pictures = {}
        for image, mask in (("start", "mask"), ("blue", "mask"), ("start", "all")):
            self.run_well("generate", *arguments, "--init-image", f"{image}.png", "--mask", f"{mask}.png", "--out",
                          "p.png")
            pictures[image, mask] = read_png(self.folder / "p.png")[2]
        # What is under the mask is not seen, all else is.
        self.assertEqual(pictures["start", "mask"], pictures["blue", "mask"])
        self.assertNotEqual(pictures["start", "mask"], pictures["start", "all"])

    # ---- Sizes

    def test_sizes_that_the_halvings_do_not_divide(self):
        for width, height in ((36, 68), (4, 100)):  # latents of 9 x 17 and 1 x 25
            self.run_well("generate", *SHORT, "--width", width, "--height", height, "--out", "p.png")
            self.assertEqual(read_png(self.folder / "p.png")[:2], (width, height))
        self.refuses("generate", *SHORT, "--width", 66, says=["66", "64 or 68"])

    # ---- Previews

    def test_previews(self):
        for how in ("colours", "vae"):
            self.run_well("generate", *SHORT, "--batch", 2, "--preview", 3, "--preview-with", how, "--out", "p.png")
            self.assertEqual(self.files(), ["mask.png", "p-1.png", "p-1.preview.png", "p-2.png", "p-2.preview.png",
                                            "start.png"])
            width, height, pixels, _ = read_png(self.folder / "p-2.preview.png")
            self.assertEqual((width, height), (64, 64))
            self.assertNotEqual(pixels, read_png(self.folder / "p-1.preview.png")[2])
            self.assertNotEqual(pixels, read_png(self.folder / "p-2.png")[2])
            with_preview = read_png(self.folder / "p-2.png")[2]
            for name in self.files():
                if name.startswith("p-"):
                    (self.folder / name).unlink()
        self.run_well("generate", *SHORT, "--batch", 2, "--out", "p.png")
        self.assertEqual(read_png(self.folder / "p-2.png")[2], with_preview)  # looking changes nothing
        self.refuses("generate", *SHORT, "--preview", 0, says="--preview")

    # ---- Drawing again

    def test_from_repeats_every_kind_of_run(self):
        self.run_well("generate", *SHORT, "--save-latents", "l.safetensors", "--out", "x.png")
        for arguments in (
                ("--sampler", "ddim", "--eta", 0.3, "--cfg", 7.3, "--negative", "böse 犬", "--width", 72, "--height", 48),
                ("--sampler", "euler_ancestral", "--init-image", "start.png", "--mask", "mask.png", "--strength", 0.7),
                ("--latents", "l.safetensors:noise", "--edit", "unet.mid_block=zero"),
                ("--backend", "fast,unet.mid_block=ref", "--negative", "[a dog]"),
                ("--width", 96, "--vae-tiling", 32)):
            self.run_well("generate", *SHORT, *arguments, "--out", "first.png")
            self.run_well("generate", "--from", "first.png", "--out", "again.png")
            self.assertEqual((self.folder / "first.png").read_bytes(), (self.folder / "again.png").read_bytes())

    def test_from_repeats_one_of_a_batch_and_a_sheet(self):
        self.run_well("generate", *SHORT, "--batch", 2, "--out", "b.png")
        self.run_well("generate", "--from", "b-2.png", "--out", "again.png")
        self.assertEqual((self.folder / "b-2.png").read_bytes(), (self.folder / "again.png").read_bytes())
        self.run_well("generate", *SHORT, "--prompt", "a fish", "--sheet", 2, "--out", "sheet.png")
        self.run_well("generate", "--from", "sheet.png", "--out", "again.png")
        self.assertEqual((self.folder / "sheet.png").read_bytes(), (self.folder / "again.png").read_bytes())

    def test_options_count_more_than_the_picture(self):
        self.run_well("generate", *SHORT, "--negative", "dog", "--out", "first.png")
        self.run_well("generate", "--from", "first.png", "--seed", 6, "--steps", 2, "--out", "other.png")
        texts = read_png(self.folder / "other.png")[3]
        self.assertEqual((texts["seed"], texts["steps"], texts["negative prompt"], texts["prompt"]),
                         ("6", "2", "dog", "a red car"))
        self.run_well("generate", *SHORT[:5], 6, "--steps", 2, "--negative", "dog", "--out", "direct.png")
        self.same_picture("other.png", "direct.png")
        self.run_well("generate", "--from", "first.png", "--prompt", "[a cat, a dog]", "--out", "third.png")
        self.assertEqual(read_png(self.folder / "third.png")[3]["prompt"], "[a cat, a dog]")

    def test_from_tells_what_has_changed(self):
        self.run_well("generate", *SHORT, "--init-image", "start.png", "--out", "first.png")
        shutil.copy(self.folder / "mask.png", self.folder / "start.png")
        self.refuses("generate", "--from", "first.png", "--out", "again.png", says=["--init-image", "changed"])
        self.run_well("generate", "--from", "first.png", "--init-image", "start.png", "--out", "again.png")
        model = self.copy_of_demo()
        self.run_well("generate", "--model", "model", *SHORT[2:], "--out", "second.png")
        weights = model / "vae/diffusion_pytorch_model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-2:] = b"\x00\x3c"
        weights.write_bytes(data)
        self.refuses("generate", "--from", "second.png", "--out", "again2.png", says=["--model", "changed"])

    def test_from_pictures_of_others(self):
        self.refuses("generate", "--from", "start.png", says=["start.png", "does not say how"])
        self.refuses("generate", says=["--prompt", "--from"])
        self.run_well("generate", *SHORT, "--out", "first.png")
        self.refuses("generate", "--from", "first.png", "--out", "first.png", says="--out")
        write_png(self.folder / "bad.png", 8, 8, lambda x, y: (0, 0, 0),
                  [("Software", "cutaway 0.1.0"), ("prompt", "a cat"), ("steps", "many")])
        self.refuses("generate", "--from", "bad.png", says=["bad.png", "'many'", "--steps"])

    def test_from_a_picture_of_webui(self):
        text = ("a red car,\n3d style\nNegative prompt: dog\nSteps: 2, Sampler: Euler a, CFG scale: 4, Seed: 9, "
                'Size: 72x48, Model: "some, model"')
        write_png(self.folder / "w.png", 8, 8, lambda x, y: (0, 0, 0), [("parameters", text)])
        self.run_well("generate", "--from", "w.png", "--model", DEMO, "--out", "p.png")
        width, height, _, texts = read_png(self.folder / "p.png")
        self.assertEqual((width, height), (72, 48))
        self.assertEqual([texts[key] for key in ("prompt", "negative prompt", "sampler", "steps", "cfg", "seed")],
                         ["a red car,\n3d style", "dog", "euler_ancestral", "2", "4", "9"])
        write_png(self.folder / "w.png", 8, 8, lambda x, y: (0, 0, 0), [("parameters", text.replace("Euler a", "UniPC"))])
        self.refuses("generate", "--from", "w.png", says=["w.png", "UniPC"])


if __name__ == "__main__":
    unittest.main()
