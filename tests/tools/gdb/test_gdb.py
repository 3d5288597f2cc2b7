"""Real gdb sessions in batch mode: test_gdb.py GDB PROGRAM SUBJECT, in the root of the repository.

PROGRAM is the unoptimised `cutaway`, SUBJECT tests/tools/gdb/subject.cpp. Both load the printers by themselves.
"""
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

GDB, PROGRAM, SUBJECT = sys.argv[1:4]
ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools/gdb"))
import expected  # noqa: E402
from cutaway_debug import files, names  # noqa: E402

DEMO = ["generate", "--model", "weights/demo", "--prompt", "a fish", "--seed", "1", "--steps", "4", "--quiet"]
MARK = "----"


def session(program, arguments, commands):
    """Runs gdb; returns what each command printed. Fails when a Python error or a crash of gdb shows."""
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "session.gdb")
        lines = []
        for command in commands:
            lines += [f"echo {MARK}\\n", f"python\ntry:\n  gdb.execute({command!r})\nexcept gdb.error as fault:\n"
                      "  print('error:', fault)\nend"]
        script.write_text("\n".join(lines) + "\n")
        done = subprocess.run(
            [GDB, "-nx", "-q", "-batch", "-iex", f"add-auto-load-safe-path {os.path.dirname(program)}",
             "-iex", "set print thread-events off", "-iex", "set width 0", "-ex", "set confirm off",
             "-x", str(script), "--args", program, *arguments],
            cwd=ROOT, capture_output=True, text=True, timeout=300)
    output = done.stdout + done.stderr
    for bad in ("Traceback", "Python Exception", "internal-error", "Undefined command"):
        if bad in output:
            raise AssertionError(output)
    return [part.strip("\n") for part in done.stdout.split(MARK + "\n")[1:]]


def headlines(outputs):
    return [line for output in outputs for line in output.splitlines() if re.match(r"(layer|value|end of layer) ", line)]


class Subject(unittest.TestCase):
    """Every state that a tensor can be found in."""

    @classmethod
    def setUpClass(cls):
        cls.expected = expected.LINES | {
            "small.shape_": "[2, 3]",
            "*(cutaway::Tensor*)8": "error: Cannot access memory at address 0x8",
            "*(cutaway::Weight*)8": "error: Cannot access memory at address 0x8",
        }
        commands = ["break stop_here", "run", "up"] + [f"print {name}" for name in cls.expected]
        cls.outputs = session(SUBJECT, [], commands + ["continue", "up", "print later", "info locals", "continue"])

    def test_printers(self):
        for (name, text), output in zip(self.expected.items(), self.outputs[3:]):
            with self.subTest(name):
                value = re.sub(r"^\$\d+ = (\(const cutaway::\w+ &\) @0x[0-9a-f]+: )?", "", output)
                self.assertEqual(value, text)

    def test_left_over_numbers_are_not_shown(self):
        # In the second round the loop's tensor lies where that of the first round lay, every byte as it was.
        self.assertTrue(self.outputs[-3].endswith("= Tensor, not made yet"), self.outputs[-3])

    def test_all_locals_and_the_end(self):
        for name in ("small", "uninitialised", "given_back", "unmade_weight"):
            self.assertIn(f"{name} = ", self.outputs[-2])
        self.assertIn("exited normally", self.outputs[-1])

    def test_random_bytes(self):
        fuzz = ("python import random; random.seed(1); at = int(gdb.parse_and_eval('(long)&filled')); "
                "good = bytes(gdb.selected_inferior().read_memory(int(gdb.parse_and_eval('(long)&small')), 72)); "
                "words = (0, 1, 2, 3, 8, -1, 1 << 40, at, int(gdb.parse_and_eval('(long)&stop_here')))\n")
        loop = ("python for i in range(400): "
                "raw = bytearray(good if i % 2 else random.randbytes(72)); "
                "k = 8 * random.randrange(9); "
                "raw[k:k + 8] = random.choice(words).to_bytes(8, 'little', signed=True); "
                "gdb.selected_inferior().write_memory(at, bytes(raw)); "
                "gdb.execute('print uninitialised')")
        output = session(SUBJECT, [], ["break stop_here", "run", "up", fuzz.strip(), loop, "print small"])
        lines = output[4].splitlines()
        self.assertEqual(len(lines), 400)
        self.assertTrue(all("Tensor" in line for line in lines))
        self.assertGreater(sum("not made yet" in line for line in lines), 300)
        self.assertIn("mean 3.5", output[5])

    def test_show_save_diff(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            out = session(SUBJECT, [], [
                "break stop_here", "run", "up", "tensor show ramp picture 1 channel 2", "tensor show half",
                f"tensor save ramp {path}/ramp.npy", f"tensor save ramp {path}/ramp.png picture 1",
                f"tensor save ramp {path}/plane.png channel 1", f"tensor save small {path}/small.png",
                "tensor diff small near", "tensor diff small plain", f"tensor diff ramp {path}/ramp.npy",
                "tensor diff small ramp", "tensor show later", "tensor show too_long", "tensor show nothing",
                "tensor show shape", "tensor show ramp channel 3", "tensor save small /nowhere/x.npy", "tensor save small",
                "tensor diff small", f"tensor diff small {path}/none.npy", "tensor show small channel 1",
                "help tensor", "help tensor show", "tensor show maybe._M_payload._M_payload._M_value"])[3:]
            self.assertIn("picture 1, channel 2: min 0.6807 max 1 ", out[0])
            self.assertEqual(out[0].splitlines()[2].split(), ["0.6807", "0.6975", "0.7143", "0.7311", "0.7479"])
            self.assertRegex(out[0], r"\|.*@\|\n\" \.:-=\+\*#%@\" from 0.6807 to 1")
            self.assertIn("Weight [3]  min -2 max 1", out[1])
            values, shape = files.read_npy(f"{path}/ramp.npy")
            self.assertEqual(shape, (2, 3, 4, 5))
            for i, value in enumerate(values):
                self.assertAlmostEqual(value, i / 119 * 2 - 1, places=6)
            self.assertIn("5 x 4 pixels in colour, -1 to 1", out[3])
            self.assertEqual(struct.unpack(">II", (path / "ramp.png").read_bytes()[16:24]), (5, 4))
            self.assertEqual(struct.unpack(">II", (path / "small.png").read_bytes()[16:24]), (3, 2))
            self.assertIn("small and near [2, 3]: 1 of 6 numbers differ\nmax abs 0.5  relative 0.08333  cosine 0.99", out[6])
            self.assertIn("worst at [1, 1]: 5 and 5.5", out[6])
            self.assertIn("are equal", out[7])
            self.assertIn("are equal", out[8])
            for text, output in zip(("only tensors of the same shape", "later: Tensor, not made yet", "64 bytes",
                                     "No symbol \"nothing\"", "a Tensor or a Weight is needed", "no channel 3, only 0 to 2",
                                     "cannot write /nowhere/x.npy", "usage: tensor save", "usage: tensor diff",
                                     "No such file", "no axis to take a channel from"), out[9:]):
                self.assertIn(text, output)
                self.assertTrue(output.startswith("error: "), output)
            self.assertIn("tensor diff", out[20])
            self.assertIn("channel C", out[21])
            self.assertIn("mean 3.5", out[22])


class Wrapper(unittest.TestCase):
    def test_another_program(self):
        out = session("/bin/true", [], [f"source {ROOT}/tools/gdb/cutaway_gdb.py", "layer break unet", "tensor show x",
                                        "layer where", "layer finish", "info breakpoints"])
        self.assertIn("error: this program has no debug information about layers", out[1])
        self.assertTrue(all(text.startswith("error: ") for text in out[1:5]), out)
        self.assertIn("No breakpoints", out[5])

    def test_tools_debug(self):
        done = subprocess.run([ROOT / "tools/debug", "-nx", "-batch", "-ex", "break stop_here", "-ex", "run", "-ex", "up",
                               "-ex", "print near", SUBJECT], cwd="/", capture_output=True, text=True, timeout=120)
        self.assertIn("= Tensor [2, 3] f32  min 1 max 6 mean 3.583", done.stdout, done.stderr)


class Layers(unittest.TestCase):
    """The demo model, box by box."""

    def run_demo(self, commands, *more):
        with tempfile.TemporaryDirectory() as folder:
            return session(PROGRAM, DEMO + ["--out", folder + "/picture.png", *more], commands)

    def test_stop_at_a_step_and_go_through_a_resblock(self):
        block = "unet.down_blocks.1.resnets.0"  # channels change here: a block with conv_shortcut
        out = self.run_demo([f"layer break {block} step 3", "run", "layer where", "info args", "info locals", "next",
                             "next", "print h", "layer step"] + ["layer next"] * 6 + ["layer finish", "layer break"])
        # The constructor returns into its own line (clang++) or to the beginning of the next (g++).
        self.assertRegex(out[1], rf"layer {re.escape(block)}   step 3\n#0  (0x\w+ in )?cutaway::ResBlock::operator\(\)")
        self.assertRegex(out[2], r"(?s)^step 3 of the sampler\nunet +UNet +models/unets/unet_sd.h:\d+\n"
                                 r"   down_blocks.1 +d2 +DownBlock +models/unets/unet_sd.h:\d+\n"
                                 r"      resnets.0 +ResBlock +nn/resblock.h:\d+   <- you are here\n")
        self.assertIn("x = Tensor [2, 32, 8, 8] f32  min ", out[3])
        self.assertIn("temb = Tensor [2, 128] f32  min ", out[3])
        self.assertIn("h = Tensor, not made yet", out[4])
        self.assertIn(f"scope = Scope {block}", out[4])
        self.assertRegex(out[7], r"= Tensor \[2, 32, 8, 8\] f32  min ")
        self.assertEqual(headlines(out[8:15]), [f"layer {name}   step 3" for name in (
            f"{block}.conv1", f"{block}.time_emb_proj", f"{block}.norm2", f"{block}.conv2", f"{block}.conv_shortcut",
            "unet.down_blocks.1.attentions.0", "unet.down_blocks.1.resnets.1")])
        self.assertIn("end of layer unet.down_blocks.1.resnets.1   step 3", out[15])
        self.assertRegex(out[15], r"= Tensor \[2, 64, 8, 8\] f32  min ")
        self.assertIn(f"{block}   step 3   stopped 1 times", out[16])

    def test_variables_of_the_same_name_in_other_files(self):
        # tensor/dispatch/ has variables called `innermost` too, and each `print` may make gdb read more files.
        block = "unet.mid_block.attentions.0.transformer_blocks.0"
        out = self.run_demo([f"layer break {block}.attn1 step 0", "run", "print to_q.weight", "maint expand-symtabs",
                             "layer where", "layer step", "layer finish", "layer next"])
        self.assertIn(f"{block[5:]}.attn1.to_q.weight [", out[2])
        self.assertRegex(out[4], r"attn1 +CrossAttention +nn/attention\.h:\d+   <- you are here")
        self.assertEqual(headlines(out[5:]), [
            f"layer {block}.attn1.to_q   step 0",
            f"end of layer {block}.attn1.to_q   step 0: it gives `result`",
            f"layer {block}.attn1.to_k   step 0"])

    def test_next_goes_from_line_to_line(self):
        # g++ counts the making of a list like `{h, skip}` to the line of the function's last bracket: `next` goes there and
        # back. No box may have such a line.
        out = session(PROGRAM, [], [f"source {ROOT}/tests/tools/gdb/jumps.py"])
        *found, looked_at = out[0].splitlines()
        self.assertRegex(looked_at, r"^[2-9]\d boxes$")
        self.assertEqual(found, [])

    def test_through_a_transformer_block(self):
        block = "unet.mid_block.attentions.0.transformer_blocks.0"
        out = self.run_demo([f"layer break {block} step 3", "run", "layer step"] + ["layer next"] * 6 +
                            ["layer where", "delete", "layer next", "info breakpoints"])
        self.assertEqual(headlines(out), [f"layer {name}   step 3" for name in (
            block, *(f"{block}.{part}" for part in ("norm1", "attn1", "norm2", "attn2", "norm3", "ff")),
            "unet.mid_block.attentions.0.proj_out", "unet.mid_block.resnets.1")])
        self.assertIn("mid_block                                m   MidBlock", out[9])
        self.assertIn("No breakpoints", out[-1])

    def test_inner_values_globs_and_a_picture(self):
        with tempfile.TemporaryDirectory() as folder:
            out = self.run_demo([
                "layer break unet.skips.1? step 2", "layer break vae.decoder.conv_out", "run", "tensor show value channel 3",
                "continue", "delete 1", "continue", "layer finish", f"tensor save result {folder}/picture.png",
                f"tensor save result {folder}/picture.npy", "continue", "layer where", "layer next", "print 1"])
            self.assertEqual(headlines(out), [
                "value unet.skips.10   step 2: it is `value` here", "value unet.skips.11   step 2: it is `value` here",
                "layer vae.decoder.conv_out   outside of the steps",
                "end of layer vae.decoder.conv_out   outside of the steps: it gives `result`"])
            self.assertIn("picture 0, channel 3: min", out[3])
            self.assertIn("64 x 64 pixels in colour", out[8])
            self.assertEqual(files.read_npy(f"{folder}/picture.npy")[1], (1, 3, 64, 64))
            self.assertGreater(os.path.getsize(f"{folder}/picture.png"), 1000)
            self.assertIn("exited normally", out[10])
            self.assertIn("error: the program is not running", out[11])
            self.assertIn("error: the program is not running", out[12])

    def test_every_scope_has_a_known_path(self):
        record = ("python seen = []; take = lambda _: seen.append(gdb.newest_frame().read_var('path').string()); "
                  "type('Record', (gdb.Breakpoint,), {'stop': take})('cutaway::trace::entered')")
        began = time.monotonic()
        out = self.run_demo([record, "run", "python print('\\n'.join(dict.fromkeys(seen)))", "python print(len(seen))"])
        seen = out[2].split()
        known = names.paths_of_model(str(ROOT / "weights/demo"))
        self.assertEqual(set(seen) - set(known), set())
        missed = [path for path in known if path not in seen and not re.match(r"unet\.(skips|time_proj)|vae\.encoder", path)]
        self.assertLessEqual(set(missed), {"vae", "vae.quant_conv"})
        print(f"{out[3]} stops at scopes, the program's own time included: {time.monotonic() - began:.1f} s")

    def test_names_are_completed_and_checked(self):
        out = self.run_demo(["complete layer break unet.mid_block.attentions.0.transformer_blocks.0.at",
                             "complete layer break unet.mid_block s", "complete layer br", "layer break unet.midblock",
                             "layer break unet.mid_block step", "layer list unet.*_block.resnets.0", "layer list nothing",
                             "layer step", "help layer break", "layer break"])
        block = "layer break unet.mid_block.attentions.0.transformer_blocks.0."
        self.assertLessEqual({block + "attn1", block + "attn2", block + "attn1.to_q"}, set(out[0].splitlines()))
        self.assertIn("layer break unet.mid_block step", out[1])
        self.assertIn("layer break", out[2])
        self.assertIn("Note: the model in weights/demo has no layer unet.midblock; near it: unet.mid_block", out[3])
        self.assertIn("error: usage: layer break PATH [step N]", out[4])
        self.assertEqual(out[5], "unet.mid_block.resnets.0")
        self.assertIn("no layer has the path nothing", out[6])
        self.assertIn("error: the program is not running", out[7])
        self.assertIn("step N", out[8])
        self.assertIn("unet.midblock   stopped 0 times", out[9])

    def test_an_editor_sees_the_stop(self):
        launch = json.loads((ROOT / ".vscode/launch.json").read_text())["configurations"][1]
        commands = [setup["text"].replace("${workspaceFolder}", str(ROOT)).replace("${input:layer}", "unet.mid_block")
                    for setup in launch["setupCommands"]]
        with tempfile.TemporaryDirectory() as folder:
            commands += [f"-file-exec-and-symbols {PROGRAM}", '-exec-arguments generate --prompt "a fish" --quiet '
                         f"--model weights/demo --steps 1 --out {folder}/picture.png", "-exec-run"]
            gdb = subprocess.Popen([GDB, "-nx", "-q", "--interpreter=mi"], cwd=ROOT, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            limit = threading.Timer(120, gdb.kill)
            limit.start()
            try:
                gdb.stdin.write("\n".join(commands) + "\n")
                gdb.stdin.flush()
                seen = []
                for line in gdb.stdout:
                    seen.append(line)
                    if line.startswith("*stopped"):
                        break
                gdb.stdin.write("-stack-list-variables --all-values\n-gdb-exit\n")
                gdb.stdin.flush()
                variables = gdb.stdout.read()
            finally:
                limit.cancel()
                gdb.kill()
                gdb.wait()
        self.assertIn('func="cutaway::sd::MidBlock::operator()"', seen[-1], "".join(seen))
        self.assertIn('reason="breakpoint-hit"', seen[-1])
        self.assertRegex(variables, r'name="h",arg="1",value="Tensor \[2, 128, 2, 2\] f32  min ')
        gdb.stdin.close()
        gdb.stdout.close()

    def test_backtrace_is_short(self):
        out = self.run_demo(["layer break unet.conv_in step 0", "run", "backtrace 3", "up", "info locals"])
        self.assertIn("x=Tensor [2, 4, 16, 16]", out[2])
        self.assertIn("h = Tensor, not made yet", out[4])
        self.assertIn("temb = Tensor [2, 128]", out[4])


if __name__ == "__main__":
    began = time.monotonic()
    result = unittest.main(argv=[sys.argv[0]], exit=False, verbosity=2).result
    print(f"all gdb sessions: {time.monotonic() - began:.1f} s")
    sys.exit(not result.wasSuccessful())
