"""tools/bench_peers, as far as it goes without PyTorch, npm and time: names of works, the installed version, and which
form of a peer is timed on."""
import argparse
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import pathlib
import subprocess
import tempfile
import unittest
from unittest import mock

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools/bench_peers"
loader = importlib.machinery.SourceFileLoader("bench_peers", str(TOOL))
bench_peers = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_peers", loader))
loader.exec_module(bench_peers)

NPM = """#!/bin/sh
folder="$3/node_modules/onnxruntime-node"
mkdir -p "$folder" && echo "{\\"version\\": \\"${7#*@}\\"}" > "$folder/package.json" && echo installed >> "$LOG"
"""


class Program:
    """Takes the seconds that it is told, form by form."""

    def __init__(self, name, seconds):
        self.name, self.seconds, self.timed = name, seconds, []

    def forms(self, work):
        return list(self.seconds)

    def described(self, form):
        return f"{self.name}, {form}"

    def prepare(self, work, form):
        if self.seconds[form] is None:
            raise bench_peers.Unavailable("it computes something else")

    def time(self, work, form):
        self.timed.append(form)
        return {"median_s": self.seconds[form], "min_s": self.seconds[form], "cpu_s": 1, "peak_bytes": 1e9}


class Names(unittest.TestCase):
    def test_works(self):
        self.assertEqual(bench_peers.split_work("unet-512x2"), ("unet", 2, 512))
        self.assertEqual(bench_peers.split_work("vae-encode-768"), ("vae-encode", 1, 768))
        for work in bench_peers.WORK:
            self.assertEqual(len(bench_peers.split_work(work)), 3)

    def test_unknown_names(self):
        for arguments in [["unet"], ["--peers", "ncnn"]]:
            done = subprocess.run([TOOL, *arguments], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn("known are", done.stderr)


class Cache(unittest.TestCase):
    def test_another_version_is_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "npm").write_text(NPM)
            (folder / "npm").chmod(0o755)
            peer = bench_peers.OnnxRuntime(argparse.Namespace(cache=folder, dtype="f32", threads=2))
            module = folder / "node/node_modules/onnxruntime-node"
            module.mkdir(parents=True)
            (module / "package.json").write_text('{"version": "1.23.2"}')
            (module / "of_before").touch()
            path = f"{folder}:{os.environ['PATH']}"
            with mock.patch.dict(os.environ, {"PATH": path, "LOG": str(folder / "log")}):
                peer.install()
                peer.install()
            self.assertEqual(peer.installed(), bench_peers.ONNXRUNTIME)
            self.assertFalse((module / "of_before").exists())
            self.assertEqual((folder / "log").read_text(), "installed\n")


class Forms(unittest.TestCase):
    def measured(self, programs, every_form):
        options = argparse.Namespace(every_form=every_form, rounds=3)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            bench_peers.print_work("clip", bench_peers.measured("clip", programs, options))
        return output.getvalue()

    def test_the_fastest_goes_on(self):
        ours, peer = Program("cutaway", {"f32": 1.0}), Program("torch", {"jit": 4.0, "plain": 2.0})
        output = self.measured([ours, peer], every_form=True)
        self.assertEqual(ours.timed, ["f32"] * 3)
        self.assertEqual(peer.timed, ["jit", "plain", "plain", "plain"])
        self.assertRegex(output, r"torch, jit +4\.000 +4\.000 +0\.25 +0\.25 +1\.00 +1\.00")
        self.assertRegex(output, r"torch, plain +2\.000 +2\.000 +0\.50")

    def test_the_first_form_alone(self):
        peer = Program("torch", {"jit": 4.0, "plain": 2.0})
        self.measured([Program("cutaway", {"f32": 1.0}), peer], every_form=False)
        self.assertEqual(peer.timed, ["jit"] * 3)

    def test_what_computes_something_else_is_not_timed(self):
        peer = Program("torch", {"jit": None})
        output = self.measured([Program("cutaway", {"f32": 1.0}), peer], every_form=False)
        self.assertEqual(peer.timed, [])
        self.assertIn("clip without torch (jit): it computes something else", output)


if __name__ == "__main__":
    unittest.main()
