"""The Python module: arrays without copies, operations against numpy, every layer by its path, traces, errors."""
import collections.abc
import gc
import inspect
import os
import pathlib
import re
import threading
import time
import unittest
import warnings

import numpy as np

import cutaway

ROOT = pathlib.Path(os.environ.get("CUTAWAY_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[3]))
DEMO = str(ROOT / "weights" / "demo")
model = cutaway.StableDiffusion.load(DEMO)


def address(array):
    return array.__array_interface__["data"][0]


def random(*shape, seed=0):
    return cutaway.randn(seed, shape)


class Arrays(unittest.TestCase):
    def test_results_are_read_only_views(self):
        y = cutaway.silu(random(2, 3))
        self.assertEqual((type(y), y.dtype, y.shape), (np.ndarray, np.float32, (2, 3)))
        self.assertIsInstance(y.base, cutaway.Tensor)
        self.assertFalse(y.flags.writeable)
        with self.assertRaises(ValueError):
            y[0, 0] = 1
        with self.assertRaises(ValueError):
            y.flags.writeable = True

    def test_views_copy_nothing(self):
        y = random(2, 3)
        tensor = y.base
        self.assertEqual(address(y), address(tensor.numpy()))
        self.assertEqual(address(y), address(np.asarray(tensor)))
        self.assertEqual(address(y), address(np.asarray(cutaway.Tensor(y))))
        self.assertEqual(address(y), address(np.asarray(cutaway.Tensor(y.reshape(3, 2)))))

    def test_the_buffer_is_read_only(self):
        buffer = memoryview(random(2, 3).base)
        self.assertTrue(buffer.readonly)
        self.assertEqual((buffer.format, buffer.shape, buffer.strides), ("f", (2, 3), (12, 4)))

    def test_a_view_keeps_the_numbers_alive(self):
        y = random(64, 64, seed=3)
        part, copy = y[5:9, ::2], y[5:9, ::2].copy()
        del y
        gc.collect()
        others = [cutaway.silu(random(64, 64, seed=k)) for k in range(20)]  # would take the block if it were free
        self.assertTrue(np.array_equal(part, copy))
        del others

    def test_a_tensor_does_not_change_with_the_array_it_was_made_from(self):
        x = np.ones((2, 2), np.float32)
        tensor = cutaway.Tensor(x)
        x[0, 0] = 7
        self.assertEqual(np.asarray(tensor)[0, 0], 1)

    def test_parts_and_turned_views_are_taken_as_they_look(self):
        x = random(4, 4, seed=1)
        for view in (x.T, x[1:], x[:, 1:3], x[::-1], x.reshape(2, 8), x.reshape(2, 8).T):
            np.testing.assert_array_equal(cutaway.scale(view, 2), 2 * np.asarray(view))

    def test_other_kinds_of_numbers(self):
        for x in ([[1, -2]], np.array([[1, -2]]), np.array([[1.0, -2.0]]), np.array([[1, -2]], np.float16)):
            np.testing.assert_array_equal(cutaway.relu(x), [[1, 0]])
        self.assertEqual(cutaway.relu(3.0).shape, ())

    def test_what_is_no_array(self):
        for bad in ("text", b"text", object(), [[1], [1, 2]], np.array([1j]), {"a": 1}):
            with self.assertRaisesRegex(cutaway.Error, "array of real numbers"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cutaway.silu(bad)
        with self.assertRaisesRegex(cutaway.Error, "None was given"):
            cutaway.Tensor(None)
        with self.assertRaisesRegex(cutaway.Error, "at least 1"):
            cutaway.silu(np.zeros((0, 3)))
        with self.assertRaisesRegex(cutaway.Error, "at most 4"):
            cutaway.silu(np.zeros((1, 1, 1, 1, 1)))


class Operations(unittest.TestCase):
    def close(self, ours, expected):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=2e-6)

    def test_every_operation_of_the_header_is_there(self):
        header = (ROOT / "tensor" / "ops.h").read_text(encoding="utf-8")
        names = set(re.findall(r"^Tensor (\w+)\(", header, re.MULTILINE))
        self.assertGreater(len(names), 35)
        self.assertEqual([name for name in sorted(names) if not hasattr(cutaway, name)], [])

    def test_against_numpy(self):
        x, y = random(2, 6, 5, 4), random(2, 6, 5, 4, seed=1)
        tokens = random(2, 7, 8, seed=2)
        weight, bias = random(3, 8, seed=3), random(3, seed=4)
        self.close(cutaway.add(x, y), x + y)
        self.close(cutaway.sub(x, y), x - y)
        self.close(cutaway.mul(x, y), x * y)
        self.close(cutaway.silu(x), x / (1 + np.exp(-x)))
        self.close(cutaway.tanh(x), np.tanh(x))
        self.close(cutaway.exp(x), np.exp(x))
        self.close(cutaway.clamp(x, -1, 0.5), x.clip(-1, 0.5))
        self.close(cutaway.leaky_relu(x, 0.1), np.where(x > 0, x, 0.1 * x))
        self.close(cutaway.linear(tokens, weight, bias), tokens @ weight.T + bias)
        self.close(cutaway.linear(tokens, weight), tokens @ weight.T)
        self.close(cutaway.matmul(tokens, tokens.transpose(0, 2, 1)), tokens @ tokens.transpose(0, 2, 1))
        self.close(cutaway.softmax(x, axis=1), np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))
        self.close(cutaway.add_per_channel(x, x[:, :, 0, 0]), x + x[:, :, :1, :1])
        self.close(cutaway.concat([x, y], axis=1), np.concatenate([x, y], axis=1))
        self.close(cutaway.slice(x, 1, 2, 4), x[:, 2:4])
        self.close(cutaway.to_tokens(x), x.reshape(2, 6, 20).transpose(0, 2, 1))
        self.close(cutaway.to_image(cutaway.to_tokens(x), 5, 4), x)
        self.close(cutaway.split_heads(tokens, 2), tokens.reshape(2, 7, 2, 4).transpose(0, 2, 1, 3))
        self.close(cutaway.merge_heads(cutaway.split_heads(tokens, 2)), tokens)
        self.close(cutaway.pad(x, (1, 2, 3, 4)), np.pad(x, ((0, 0), (0, 0), (3, 4), (1, 2))))
        self.close(cutaway.max_pool(x[..., :4, :]), x[..., :4, :].reshape(2, 6, 2, 2, 2, 2).max(axis=(3, 5)))
        self.close(cutaway.embedding([[2, 0]], weight), weight[[2, 0]][None])
        self.close(cutaway.timestep_embedding([0, 1], 4), [[1, 1, 0, 0], [np.cos(1), np.cos(0.01), np.sin(1), np.sin(0.01)]])
        self.close(cutaway.guided(x, y, 3), x + 3 * (y - x))

    def test_layer_norm(self):
        x, w, b = random(2, 7, 8), random(8, seed=1), random(8, seed=2)
        z = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        self.close(cutaway.layer_norm(x, w, b), z * w + b)

    def test_attention(self):
        q, k, v = random(1, 2, 5, 4), random(1, 2, 5, 4, seed=1), random(1, 2, 5, 4, seed=2)
        scores = q @ k.transpose(0, 1, 3, 2) / 2
        table = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
        self.close(cutaway.attention_probs(q, k), table)
        self.close(cutaway.attention(q, k, v), table @ v)
        mask = np.where(np.tri(5) > 0, 0, -1e9)[None, None]
        self.close(cutaway.attention(q, k, v, mask=mask), cutaway.attention(q, k, v, causal=True))
        self.assertFalse(np.allclose(cutaway.attention(q, k, v, causal=True), table @ v))

    def test_conv2d_padding_as_one_number_or_four(self):
        x, w, b = random(1, 2, 6, 5), random(3, 2, 3, 3, seed=1), random(3, seed=2)
        same = cutaway.conv2d(x, w, b, padding=1)
        self.assertEqual(same.shape, (1, 3, 6, 5))
        self.close(same, cutaway.conv2d(x, w, b, padding=(1, 1, 1, 1)))
        self.close(same, cutaway.conv2d(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), w, b))
        one_sided = cutaway.conv2d(x, w, b, stride=2, padding=(0, 1, 0, 1))
        self.close(one_sided, cutaway.conv2d(np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1))), w, b)[:, :, ::2, ::2])
        for bad in ((1, 1), "11", 1.5):
            with self.assertRaisesRegex(cutaway.Error, "padding"):
                cutaway.conv2d(x, w, padding=bad)

    def test_random_numbers_are_torch_s(self):
        # torch.manual_seed(0); torch.randn(3)
        np.testing.assert_allclose(cutaway.randn(0, [3]), [1.5409961, -0.2934289, -2.1787894], rtol=1e-6)

    def test_rgb(self):
        picture = np.stack([np.full((2, 3), v) for v in (-1, 0, 1.5)])[None]
        self.assertEqual(cutaway.rgb(picture).shape, (2, 3, 3))
        self.assertEqual(cutaway.rgb(picture)[0, 0].tolist(), [0, 128, 255])

    def test_errors_say_what_is_wrong(self):
        with self.assertRaisesRegex(cutaway.Error, r"conv2d: x is \[1, 4, 8, 8\].*needs 3 channels"):
            cutaway.conv2d(np.zeros((1, 4, 8, 8)), np.zeros((2, 3, 3, 3)))
        with self.assertRaisesRegex(cutaway.Error, "no values yet"):
            cutaway.silu(None)
        with self.assertRaisesRegex(cutaway.Error, "token ids"):
            cutaway.embedding([0.5], np.zeros((2, 2)))
        with self.assertRaisesRegex(cutaway.Error, "backend"):
            cutaway.choose_backend("slow")


class Layers(unittest.TestCase):
    def test_every_layer_called_by_its_path_gives_what_it_gave_in_the_network(self):
        sample, prompt = random(1, 4, 16, 16), model.encode_prompt("a cat")
        ids = model.tokenizer.encode_padded("a cat")
        with cutaway.trace("*") as seen:
            model.text_encoder(ids)
            model.unet(sample, 500, prompt)
            model.vae.encode(random(1, 3, 64, 64, seed=5))
            model.vae.decode(sample)
        skips = [seen[f"unet.skips.{k}"] for k in range(12)]
        called = 0
        for path in model.paths():
            layer, given = model.layer(path), seen.inputs(path) if path in seen else None
            if path == "vae":
                continue
            if layer.inputs == "ids":
                result = layer(np.arange(24)) if path.endswith("position_embedding") else layer(ids)
            elif path == "unet":
                result = layer(sample, 500, prompt)
            elif layer.kind == "DownBlock":
                result, own = layer(*given)
                self.assertGreaterEqual(len(own), 2)
            elif layer.kind == "UpBlock":
                result = layer(*given, skips[:12 - 3 * int(path[-1])])
            else:
                result = layer(*given)
            np.testing.assert_array_equal(result, seen[path], err_msg=path)
            called += 1
        self.assertEqual(called, len(model.paths()) - 1)
        self.assertGreater(called, 500)

    def test_weights_by_path(self):
        weights = model.weights("unet.down_blocks.1.resnets.0")
        self.assertEqual(list(weights)[:3], ["norm1.weight", "norm1.bias", "conv1.weight"])
        self.assertEqual(weights["conv1.weight"].shape, (64, 32, 3, 3))
        np.testing.assert_array_equal(weights["conv1.weight"], model.weight("unet.down_blocks.1.resnets.0.conv1.weight"))
        self.assertEqual(sum(w.size for w in model.weights("unet").values()), 8_765_028)
        x = random(1, 4, 16, 16)
        own = model.layer("unet.conv_in").weights()
        np.testing.assert_array_equal(cutaway.conv2d(x, own["weight"], own["bias"], padding=1),
                                      model.layer("unet.conv_in")(x))

    def test_settings(self):
        self.assertEqual(model.layer("unet.conv_norm_out").settings, {"groups": 8, "eps": 1e-5})
        self.assertEqual(model.layer("unet.mid_block.attentions.0.norm").settings["eps"], 1e-6)
        self.assertEqual(model.layer("unet.down_blocks.0.downsamplers.0.conv").settings,
                         {"stride": 2, "padding": (1, 1, 1, 1)})
        self.assertEqual(model.layer("unet.mid_block.attentions.0.transformer_blocks.0.attn1").settings, {"heads": 4})

    def test_a_layer_keeps_the_model_alive(self):
        layer = cutaway.StableDiffusion.load(DEMO).layer("unet.conv_in")
        gc.collect()
        np.testing.assert_array_equal(layer(random(1, 4, 8, 8)), model.layer("unet.conv_in")(random(1, 4, 8, 8)))

    def test_wrong_paths_and_inputs(self):
        for message, call in [
                ("no layer 'unet.mid'; unet has .*unet.mid_block", lambda: model.layer("unet.mid")),
                ("the model has text_encoder, unet, vae", lambda: model.layer("")),
                ("no weight 'unet.conv_in'", lambda: model.weight("unet.conv_in")),
                ("takes 3 inputs .sample, t, prompt., but 1 were given", lambda: model.unet(random(1, 4, 16, 16))),
                (r"x is \[4, 16\], but must be \[N, C, H, W\]", lambda: model.unet(random(4, 16), 1, random(1, 24, 128))),
                ("3 time steps were given for 1 images",
                 lambda: model.unet(random(1, 4, 16, 16), [1, 2, 3], random(1, 24, 128))),
                ("unet.conv_in: x is", lambda: model.unet(random(1, 3, 16, 16), 1, random(1, 24, 128))),
                ("no skip connection left", lambda: model.layer("unet.up_blocks.0")(
                    random(1, 128, 2, 2), random(1, 128), random(1, 24, 128), [])),
                ("vae.encode", lambda: model.layer("vae")(random(1, 4, 16, 16))),
                ("there is no model folder", lambda: cutaway.StableDiffusion.load("/no/such/folder")),
        ]:
            with self.assertRaisesRegex(cutaway.Error, message):
                call()
        for path in model.paths():  # whatever is given, a sentence is the answer
            for bad in ([], [None], [None] * 4, [random(2, 3)] * 3):
                with self.assertRaises(cutaway.Error, msg=path):
                    model.layer(path)(*bad)


class Trace(unittest.TestCase):
    sample, prompt = random(1, 4, 16, 16), model.encode_prompt("a tree")

    def test_it_is_a_mapping_in_the_order_of_the_run(self):
        with cutaway.trace("unet.mid_block*") as seen:
            model.unet(self.sample, 10, self.prompt)
        self.assertIsInstance(seen, collections.abc.Mapping)
        self.assertEqual(list(seen)[0], "unet.mid_block.resnets.0.norm1")
        self.assertEqual(list(seen)[-1], "unet.mid_block")
        self.assertEqual(list(dict(seen)), list(seen.keys()))
        self.assertEqual(len(seen), len(seen.items()))
        self.assertTrue(all(path.startswith("unet.mid_block") for path in seen))
        self.assertNotIn("unet.conv_in", seen)
        with self.assertRaisesRegex(KeyError, "nothing was recorded at unet.conv_in"):
            seen["unet.conv_in"]
        self.assertIsNone(seen.get("unet.conv_in"))

    def test_nothing_is_recorded_outside(self):
        with cutaway.trace("unet*") as seen:
            pass
        model.unet(self.sample, 10, self.prompt)
        self.assertEqual(len(seen), 0)

    def test_it_is_closed_by_an_exception(self):
        with self.assertRaises(cutaway.Error), cutaway.trace("unet*") as seen:
            model.unet(self.sample, 10, random(1, 24, 64))
        before = len(seen)
        self.assertGreater(before, 0)
        model.unet(self.sample, 10, self.prompt)
        self.assertEqual(len(seen), before)

    def test_tables_only_on_demand(self):
        with cutaway.trace("*") as everything:
            model.unet(self.sample, 10, self.prompt)
        self.assertFalse([path for path in everything if path.endswith("probs")])
        with cutaway.trace("*attn2.probs") as tables:
            model.unet(self.sample, 10, self.prompt)
        self.assertEqual(len(tables), 16)
        for table in tables.values():
            np.testing.assert_allclose(table.sum(axis=-1), 1, rtol=1e-5)

    def test_operations_inside_a_layer(self):
        block = "unet.mid_block.resnets.0"
        with cutaway.trace(block + "*", operations=True) as seen:
            model.unet(self.sample, 10, self.prompt)
        inside = [path[len(block) + 1:] for path in seen if path.startswith(block + "/")]
        self.assertEqual(inside, ["silu", "silu.2", "add_per_channel", "silu.3"])  # its add is the result
        np.testing.assert_array_equal(seen[block + "/silu"], cutaway.silu(seen[block + ".norm1"]))
        np.testing.assert_array_equal(seen[block + "/silu.3"], cutaway.silu(seen[block + ".norm2"]))

    def test_a_run_of_several_steps(self):
        with cutaway.trace("unet", "text_encoder", "unet.time_proj") as seen:
            model.generate("a tree", steps=3)
        self.assertEqual([y.shape for y in seen["unet"]], [(2, 4, 16, 16)] * 3)
        self.assertEqual(seen.steps("unet"), [0, 1, 2])
        self.assertEqual(seen.steps("text_encoder"), [-1, -1])
        self.assertEqual(len(seen.inputs("unet")), 3)
        self.assertEqual(len(seen.all("unet.time_proj")), 3)

    def test_two_at_once_and_misuse(self):
        with cutaway.trace("unet") as one, cutaway.trace("unet.conv_in") as two:
            model.unet(self.sample, 10, self.prompt)
        self.assertEqual((list(one), list(two)), (["unet"], ["unet.conv_in"]))
        with cutaway.trace("unet") as open_one:
            with self.assertRaisesRegex(cutaway.Error, "open already"):
                open_one.__enter__()
            failed = []
            def close():
                try:
                    open_one.__exit__(None, None, None)
                except cutaway.Error as error:
                    failed.append(str(error))
            other = threading.Thread(target=close)
            other.start()
            other.join()
            self.assertIn("by the thread that opened it", failed[0])


class Pictures(unittest.TestCase):
    def test_the_same_seed_gives_the_same_picture(self):
        one, two, other = (model.generate("a tree", seed=seed, steps=2, cfg=3) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one.picture, two.picture)
        self.assertFalse(np.array_equal(one.picture, other.picture))
        self.assertEqual((one.picture.shape, one.latent.shape), ((1, 3, 64, 64), (1, 4, 16, 16)))
        start = cutaway.randn(1, [1, 4, 16, 16])
        np.testing.assert_array_equal(model.generate("a tree", seed=9, steps=2, cfg=3, start=start).picture, one.picture)
        np.testing.assert_array_equal(model.vae.decode(cutaway.scale(one.latent, 1 / model.vae.scaling_factor)),
                                      one.picture)

    def test_on_step(self):
        steps = []
        result = model.generate("a tree", steps=3, on_step=steps.append)
        self.assertEqual([(step.index, step.count) for step in steps], [(0, 3), (1, 3), (2, 3)])
        np.testing.assert_array_equal(steps[-1].latent, result.latent)
        self.assertGreater(steps[0].t, steps[1].t)

    def test_an_exception_in_on_step_ends_the_run(self):
        calls = []
        def stop(step):
            calls.append(step.index)
            raise RuntimeError("enough")
        with self.assertRaisesRegex(RuntimeError, "enough"):
            model.generate("a tree", steps=5, on_step=stop)
        self.assertEqual(calls, [0])

    def test_other_threads_run_meanwhile(self):
        ticks, done = [], threading.Event()
        def tick():
            while not done.wait(0.001):
                ticks.append(time.perf_counter())
        thread = threading.Thread(target=tick)
        thread.start()
        try:
            begin = time.perf_counter()
            model.unet(random(8, 4, 32, 32), 10, np.repeat(model.encode_prompt("a cat"), 8, axis=0))
            end = time.perf_counter()
        finally:
            done.set()
            thread.join()
        self.assertGreater(sum(begin < at < end for at in ticks), 3, f"one call of {end - begin:.3f} s")

    def test_a_prompt_that_is_too_long_is_told(self):
        with self.assertWarnsRegex(UserWarning, "left out"):
            model.encode_prompt("cat " * 100)

    def test_bad_options(self):
        for message, options in [("steps", {"steps": 0}), ("sampler", {"sampler": "no"}), ("width", {"width": 63}),
                                 ("cfg", {"cfg": float("nan")}), ("start from", {"start": random(1, 4, 8, 8)})]:
            with self.assertRaisesRegex(cutaway.Error, message):
                model.generate("a tree", **{"steps": 1, **options})

    def test_tokenizer(self):
        ids = model.tokenizer.encode("a cat")
        padded = model.tokenizer.encode_padded("a cat")
        self.assertEqual(padded[1:3], ids)
        self.assertEqual(len(padded), model.tokenizer.context_length)
        self.assertEqual([model.tokenizer.token(i) for i in ids], ["a</w>", "cat</w>"])

    def test_what_is_public_says_what_it_does(self):
        silent = [name for name in ("conv2d", "group_norm", "attention", "randn", "rgb", "trace", "StableDiffusion")
                  if len(inspect.getdoc(getattr(cutaway, name)) or "") < 20]
        self.assertEqual(silent, [])


if __name__ == "__main__":
    unittest.main()
