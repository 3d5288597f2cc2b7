#!/usr/bin/env python3
"""Runs the code cells of a notebook in order, as a notebook program would, and holds the notebook to the house rules.

Usage: run_notebook.py NOTEBOOK [--twin PROGRAM...] [--figures FOLDER]

  --twin     a C++ program that computes the same: every line "name = number" that it prints must be printed by the
             notebook too, with the same number
  --figures  writes each plot there as a PNG

Exit 1 when a cell raises, when the notebook is stored with output, when a plot's axis has no label, or when the
numbers of notebook and twin differ. Needs no notebook program.
"""
import argparse
import contextlib
import io
import json
import linecache
import math
import os
import pathlib
import re
import subprocess
import sys
import traceback

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["MPLBACKEND"] = "Agg"

NUMBER = re.compile(r"^(\S.*?) = (-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)$", re.MULTILINE)
LEAST_IN_COMMON = 5


class Failure(Exception):
    pass


def code_cells(notebook):
    """[(number, source)] of the code cells, which must be stored without output."""
    cells = []
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] != "code":
            continue
        if cell.get("outputs") or cell.get("execution_count") is not None:
            raise Failure(f"cell {number} is stored with output; clear all outputs before the notebook is committed")
        cells.append((number, "".join(cell["source"])))
    if not cells:
        raise Failure("there are no code cells")
    return cells


def unlabelled(figure):
    """Titles of the axes that show numbers and do not say what they are."""
    for axes in figure.axes:
        if not axes.axison or hasattr(axes, "_colorbar"):
            continue
        numbered = [axis for axis in (axes.xaxis, axes.yaxis) if has_numbers(axis) and not axis.get_label_text()]
        if any(axis is axes.xaxis or not shares_label(axes) for axis in numbered):
            yield axes.get_title() or "(no title)"


def has_numbers(axis):
    texts = [label.get_text() for label in axis.get_ticklabels()]
    return any(texts) and not any(re.search("[a-zA-Z]", text.replace("mathdefault", "")) for text in texts)


def shares_label(axes):
    """Is the y axis that of its neighbour, which has the label?"""
    return any(other is not axes and other.get_ylabel() for other in axes.get_shared_y_axes().get_siblings(axes))


def collect_plots(pyplot, name, folder):
    """plt.show as a check: every axis has a label. Returns the list that counts the plots."""
    plots = []

    def show(*_, **__):
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            plots.append(figure)
            figure.canvas.draw()
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                figure.savefig(folder / f"{name}-{len(plots):02}.png", dpi=80)
            if missing := list(unlabelled(figure)):
                raise Failure(f"plot {len(plots)} has axes without labels: {', '.join(missing)}")
        pyplot.close("all")

    pyplot.show = show
    return plots


def run_cells(path, cells, folder):
    """Runs all cells; returns what they print."""
    import matplotlib.pyplot as pyplot

    plots = collect_plots(pyplot, path.stem, folder)
    printed = io.StringIO()
    names = {"__name__": "__main__"}
    os.chdir(path.parent)
    for number, source in cells:
        file = f"{path.name}[{number}]"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)  # so that tracebacks show it
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(source, file, "exec"), names)
                pyplot.show()
        except BaseException as error:
            sys.stdout.write(printed.getvalue())
            if not isinstance(error, Failure):
                traceback.print_exc()
            raise Failure(f"cell {number}: {type(error).__name__}: {error}") from None
    print(printed.getvalue(), end="")
    print(f"{path.name}: {len(cells)} cells, {len(plots)} plots")
    return printed.getvalue()


def compare_with_twin(printed, command):
    twin = subprocess.run(command, capture_output=True, text=True)
    if twin.returncode != 0:
        raise Failure(f"the twin failed with {twin.returncode}: {twin.stderr or twin.stdout}")
    ours, theirs = dict(NUMBER.findall(printed)), dict(NUMBER.findall(twin.stdout))
    if len(theirs) < LEAST_IN_COMMON:
        raise Failure(f"the twin prints {len(theirs)} numbers, but {LEAST_IN_COMMON} are needed to tell anything")
    for name, value in theirs.items():
        if name not in ours:
            raise Failure(f"the twin prints '{name}', which the notebook does not")
        if not math.isclose(float(ours[name]), float(value), rel_tol=1e-3, abs_tol=2e-5):
            raise Failure(f"'{name}' is {ours[name]} in the notebook, but {value} in the twin")
    print(f"{len(theirs)} numbers as in the twin")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("notebook", type=pathlib.Path)
    parser.add_argument("--twin", nargs="+")
    parser.add_argument("--figures", type=pathlib.Path)
    arguments = parser.parse_args()
    path = arguments.notebook.resolve()
    folder = arguments.figures and arguments.figures.resolve()
    try:
        printed = run_cells(path, code_cells(json.loads(path.read_text(encoding="utf-8"))), folder)
        if arguments.twin:
            compare_with_twin(printed, arguments.twin)
    except Failure as failure:
        print(f"{path.name}: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
