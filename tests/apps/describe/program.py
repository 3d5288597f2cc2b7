"""Runs `cutaway describe`. The program's path is in the environment variable CUTAWAY."""
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("CUTAWAY", str(ROOT / "build/release/cutaway"))
DEMO = ("--model", str(ROOT / "weights/demo"))
SD15 = ("--size", "sd15")


def describe(*arguments):
    """The finished process."""
    return subprocess.run([PROGRAM, "describe", *arguments], capture_output=True, text=True, timeout=250)


def text_of(*arguments):
    done = describe(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def json_of(*arguments):
    return json.loads(text_of(*arguments, "--as", "json"))


def boxes(box):
    """A box and all inside it."""
    yield box
    for child in box["children"]:
        yield from boxes(child)
