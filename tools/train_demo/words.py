#!/usr/bin/python3
"""Writes words.txt of the demo model: every phrase that its training captions are made of, by which the program tells
words that the model does not know.

Usage: words.py FOLDER
"""
import sys
from concepts import BACKGROUNDS, STYLES, concepts

# What data.py's captions put around the things; "the", "in" and "with" are harmless.
AROUND = "a an the and in on of with next to beside background picture emoji icon drawing"


def lines():
    yield "# What the demo model was trained to draw: a thing a line, by all its names. Written by tools/train_demo/words.py."
    for _, _, phrases in concepts():
        yield ", ".join(phrases)
    yield "# Backgrounds, styles, and the words around them."
    yield ", ".join(BACKGROUNDS)
    yield ", ".join(name for names in STYLES.values() for name in names)
    yield AROUND


def write(folder):
    with open(f"{folder}/words.txt", "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines())


if __name__ == "__main__":
    write(sys.argv[1])
