"""The lines of source files."""
import functools
import re


@functools.lru_cache(maxsize=32)
def lines_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def last_line(path, line):
    """Where the declaration that begins at `line` ends: until that line has run, the variable is not there."""
    lines = lines_of(path)
    for number in range(line, min(line + 20, len(lines) + 1)):
        if re.search(r"[;{]\s*(//.*)?$", lines[number - 1]):
            return number
    return line
