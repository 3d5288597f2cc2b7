"""The notebook runner: it passes what is right, and truly fails on what is wrong."""
import json
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

RUNNER = pathlib.Path(__file__).with_name("run_notebook.py")
NOTEBOOKS = pathlib.Path(__file__).resolve().parents[2] / "notebooks"
NUMBERS = "for k in range(5): print(f'number {k} = {k / 10:.5f}')"


def code(source, outputs=(), count=None):
    return {"cell_type": "code", "execution_count": count, "metadata": {}, "outputs": list(outputs),
            "source": source.splitlines(True)}


class Runner(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_cells(self, *cells, twin=None, extra=()):
        notebook = self.folder / "some.ipynb"
        notebook.write_text(json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
        command = [sys.executable, str(RUNNER), str(notebook), *extra]
        if twin is not None:
            program = self.folder / "twin"
            program.write_text(f"#!{sys.executable}\n{twin}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            command += ["--twin", str(program)]
        return subprocess.run(command, capture_output=True, text=True)

    def passes(self, *cells, **options):
        done = self.run_cells(*cells, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def fails(self, message, *cells, **options):
        done = self.run_cells(*cells, **options)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(message, done.stdout)

    def test_cells_share_their_names_and_run_in_order(self):
        self.assertIn("42\n", self.passes(code("a = 6"), {"cell_type": "markdown", "source": ["# a"]}, code("print(7 * a)")))

    def test_a_cell_that_raises(self):
        self.fails("cell 2: ZeroDivisionError", code("a = 0"), code("1 / a"))
        self.fails("cell 1: AssertionError", code("assert False"))
        self.fails("cell 1: SyntaxError", code("a = = 1"))
        self.fails("cell 1: SystemExit", code("import sys; sys.exit(0)"))

    def test_stored_output(self):
        stream = {"output_type": "stream", "name": "stdout", "text": ["1\n"]}
        self.fails("cell 1 is stored with output", code("print(1)", outputs=[stream]))
        self.fails("cell 1 is stored with output", code("print(1)", count=3))

    def test_a_notebook_without_code(self):
        self.fails("no code cells", {"cell_type": "markdown", "source": ["# a"]})

    def test_axes_need_labels(self):
        plot = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2])\n"
        self.fails("axes without labels", code(plot))
        self.fails("axes without labels", code(plot + "ax.set_xlabel('step')"))
        self.assertIn("1 plots", self.passes(code(plot + "ax.set(xlabel='step', ylabel='size')\nplt.show()")))
        self.passes(code(plot + "ax.axis('off')"))
        self.passes(code(plot + "ax.set(xticks=[], yticks=[])"))

    def test_plots_can_be_kept(self):
        figures = self.folder / "figures"
        self.passes(code("import matplotlib.pyplot as plt\nplt.imshow([[1]])\nplt.axis('off')"),
                    extra=["--figures", str(figures)])
        self.assertEqual([file.name for file in figures.iterdir()], ["some-01.png"])

    def test_the_twin_prints_the_same_numbers(self):
        self.assertIn("5 numbers as in the twin", self.passes(code(NUMBERS), twin=NUMBERS))

    def test_a_twin_that_differs(self):
        self.fails("'number 3' is 0.30000 in the notebook, but 0.33000 in the twin", code(NUMBERS),
                   twin=NUMBERS + "\nprint('number 3 = 0.33000')")
        self.fails("the twin prints 'another'", code(NUMBERS), twin=NUMBERS + "\nprint('another = 1.0')")
        self.fails("the twin prints 1 numbers", code(NUMBERS), twin="print('number 0 = 0.0')")
        self.fails("the twin failed with 3", code(NUMBERS), twin="import sys; sys.exit(3)")


class Stored(unittest.TestCase):
    def test_each_notebook_has_a_twin_and_each_twin_a_notebook(self):
        notebooks = {file.stem for file in NOTEBOOKS.glob("*.ipynb")}
        twins = {file.stem for file in (NOTEBOOKS / "twins").glob("*.cpp")}
        self.assertEqual(notebooks, twins)
        self.assertTrue(notebooks)

    def test_notebooks_are_stored_without_output(self):
        for file in NOTEBOOKS.glob("*.ipynb"):
            for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
                self.assertFalse(cell.get("outputs"), file.name)
                self.assertIsNone(cell.get("execution_count"), file.name)


if __name__ == "__main__":
    unittest.main()
