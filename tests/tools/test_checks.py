"""tools/check_layers, tools/check_docs and tools/check_comments: each rule is broken once in a small tree, and must be noticed. And the mistakes
of tools/measure_mistakes, whose effects docs/reading-order.md tells, must still fit the code."""
import pathlib
import subprocess
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parent.parent.parent / "tools"


def run(tool, files):
    """(exit code, output) of a tool on a tree of {path: text}."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            file = pathlib.Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        done = subprocess.run([TOOLS / tool, folder], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


class Layers(unittest.TestCase):
    def check(self, path, include, allowed):
        code, output = run("check_layers", {path: f"// first line\n#include {include}\n"})
        self.assertEqual(code, 0 if allowed else 1, output)
        if not allowed:
            self.assertIn(f"{path}:2: ", output)

    def test_allowed(self):
        for path, include in [("nn/a.h", '"tensor/ops.h"'), ("models/a.h", '"samplers/b.h"'), ("apps/a.cpp", '"models/b.h"'),
                              ("tensor/ops.cpp", '"tensor/ref/ops.h"'), ("tensor/eigen/a.cpp", "<Eigen/Dense>"),
                              ("tensor/files/png.cpp", "<stb_image.h>"), ("tests/tensor/a.cpp", '"stb/stb_image.h"'),
                              ("tests/tensor/a.cpp", '"tensor/fast/ops.h"'),
                              ("notebooks/module/a.cpp", '"models/b.h"'), ("notebooks/module/a.cpp", '"notebooks/module/b.h"'),
                              ("notebooks/module/a.cpp", "<pybind11/numpy.h>"), ("notebooks/twins/a.cpp", '"notebooks/twins/b.h"'),
                              ("notebooks/twins/a.cpp", '"models/b.h"'),
                              ("apps/mpi/a.cpp", "<mpi.h>"), ("tensor/a.h", "<vector>"),
                              ("tensor/observers/a.cpp", '"tensor/files/b.h"'), ("tensor/files/a.cpp", '"tensor/b.h"'),
                              ("tensor/ops.cpp", '"tensor/dispatch/b.h"'), ("tensor/dispatch/a.h", '"tensor/fast/b.h"'),
                              ("models/pipeline/a.cpp", '"models/prompt/b.h"'), ("models/unets/a.h", '"models/b.h"'),
                              ("apps/commands/a.cpp", '"apps/options/b.h"'), ("samplers/a.h", '"samplers/levels/b.h"')]:
            self.check(path, include, allowed=True)

    def test_against_the_rules(self):
        for path, include in [("tensor/a.h", '"nn/b.h"'), ("nn/a.h", '"models/b.h"'), ("samplers/a.h", '"nn/b.h"'),
                              ("nn/a.h", '"samplers/b.h"'), ("samplers/a.cpp", '"models/b.h"'), ("models/a.cpp", '"apps/b.h"'),
                              ("nn/a.cpp", '"tensor/fast/ops.h"'), ("tensor/a.h", '"tensor/ref/ops.h"'),
                              ("tensor/fast/a.cpp", '"tensor/ref/ops.h"'), ("tensor/ref/a.cpp", "<Eigen/Dense>"),
                              ("apps/a.cpp", "<stb_image.h>"), ("apps/a.cpp", '"stb/stb_image_write.h"'),
                              ("apps/a.cpp", "<mpi.h>"), ("models/a.cpp", "<mpi.h>"),
                              ("nn/a.h", "<tensor/ops.h>"), ("nn/a.h", '"linear.h"'), ("nn/a.h", '"../tensor/ops.h"'),
                              ("tensor/a.h", '"tests/check.h"'), ("models/a.h", '"notebooks/module/arrays.h"'),
                              ("apps/a.cpp", '"notebooks/module/arrays.h"'), ("nn/a.h", '"notebooks/twins/report.h"'),
                              ("notebooks/module/a.cpp", '"arrays.h"'), ("notebooks/twins/a.cpp", '"report.h"'),
                              ("tensor/weight.cpp", '"tensor/dispatch/b.h"'), ("tensor/files/a.cpp", '"tensor/observers/b.h"'),
                              ("tensor/fast/a.cpp", '"tensor/dispatch/b.h"'), ("tensor/a.h", '"tensor/files/b.h"'),
                              ("models/unets/a.h", '"models/overlays/b.h"'), ("models/prompt/a.h", '"models/pipeline/b.h"'),
                              ("samplers/levels/a.h", '"samplers/b.h"'), ("apps/options/a.h", '"apps/commands/b.h"')]:
            self.check(path, include, allowed=False)

    def test_sentences(self):
        row = "| `nn/` | a box of the picture with its `weights` | [`a.h`](nn/a.h) |\n"
        for header, readme, allowed in [("// Boxes. nn: a box of the picture with\n// its weights\n#pragma once\n", row, True),
                                        ("// A box.\n#pragma once\n// a box of the picture with its weights\n", row, False),
                                        ("// A box.\n#pragma once\n", "no table", True),
                                        ("// A box.\n#pragma once\n", row.replace("nn/a.h", "nn/b.h"), False),
                                        ("// A box.\n#pragma once\n", row.replace("`nn/`", "`models/`"), False)]:
            code, output = run("check_layers", {"nn/a.h": header, "README.md": readme})
            self.assertEqual(code, 0 if allowed else 1, header + readme + output)

    def test_empty_tree(self):
        self.assertEqual(run("check_layers", {"README.md": "no code"})[0], 1)


    def test_names_that_would_be_taken(self):
        for header, own, allowed in [("Networks networks_of(const Formula& formula, int count = 1);", "const Formula& f, int n", False),
                                     ("Networks networks_of();", "", False), ("Networks networks_of(int count);", "", True),
                                     ("Networks other(int count);", "int count", True)]:
            code, output = run("check_layers", {"models/a.h": header + "\n", "apps/b.cpp":
                                                f"namespace {{\n\nNetworks networks_of({own}) {{\n}}\n\n}}  // namespace\n"})
            self.assertEqual(code, 0 if allowed else 1, header + output)
            if not allowed:
                self.assertIn("apps/b.cpp: has a function networks_of", output)


class Docs(unittest.TestCase):
    PAGE = "docs/a.md"
    LINKED = {"README.md": "[a](docs/a.md) [c](docs/c.md)\n"}
    FILES = {"notebooks/module/d.cpp": "struct Bound {};\n", "notebooks/twins/e.cpp": "int main() {}\n", "nn/b.h": "struct ResBlock {};  // Doc: docs/a.md\n", "docs/c.md": "# A heading, with `code`\n## Twice\n## Twice\n"}

    def check(self, line, leads_somewhere, more={}):
        code, output = run("check_docs", {**self.FILES, **more, self.PAGE: f"# Page\n{line}\n", **self.LINKED})
        self.assertEqual(code, 0 if leads_somewhere else 1, line + "\n" + output)
        if not leads_somewhere:
            self.assertIn(f"{self.PAGE}:2: ", output)

    def test_leads_somewhere(self):
        for line in ["[c](c.md)", "[c](c.md#a-heading-with-code)", "[c](c.md#twice-1)", "[top](#page)", "[b](../nn/b.h)",
                     "[web](https://example.org/x)", "`nn/b.h`", "`nn/b.h#ResBlock`", "`docs/c.md`", "`[x](y.md)`",
                     "`notebooks/module/d.cpp#Bound`", "`notebooks/twins/e.cpp`"]:
            self.check(line, leads_somewhere=True)

    def test_leads_nowhere(self):
        for line in ["[c](d.md)", "[c](c.md#no-such-heading)", "[top](#elsewhere)", "![picture](d.png)", "`nn/d.h`",
                     "`nn/b.h#ResBlocks`", "`notebooks/module/gone.cpp`", "`notebooks/module/d.cpp#Unbound`", "`notebooks/gone.ipynb`", "`nn/b.h#Res`", "[b](nn/b.h)"]:
            self.check(line, leads_somewhere=False)

    def test_links_in_fenced_code_are_left_alone(self):
        self.assertEqual(run("check_docs", {self.PAGE: "```\n[c](d.md) `nn/d.h`\n```\n", **self.LINKED,
                                            "docs/c.md": "# C\n"})[0], 0)

    # A program of one subcommand, whose options stand in two files; and a tool.
    PROGRAM = {"apps/commands/draw.cpp": 'void add_draw_command(CLI::App& program) {\n  program.add_subcommand("draw", "Draw");\n'
                                         '  command.add_option("--seed", seed, "One");\n  command\n      .add_flag(\n'
                                         '          "-q,--quiet", quiet, "Not --loud");\n  add_run_options(command);\n}\n',
               "apps/options/run.cpp": 'void add_run_options(CLI::App& command) {\n  command.add_option("--isa", isa, "Which");\n}\n'
                                       'void add_others(CLI::App& command) {\n  command.add_option("--other", isa, "Not called");\n}\n',
               "tools/make": "#!/bin/sh\n# tools/make --all\n"}

    def test_commands_and_tools_that_exist(self):
        for line in ["`cutaway draw --seed 3 --isa avx2 --quiet`", "`build/ci/cutaway draw`", "`cutaway --help`", "`cutaway COMMAND --help`",
                     "`cutaway draw --seed 3 | dot --loud`", "`--seed`", "`--all`", "`tools/make`", "`tools/make --all`", "`tools/`",
                     "`ninja --target cutaway other`", "    cutaway gone"]:
            self.check(line, leads_somewhere=True, more=self.PROGRAM)

    def test_commands_and_tools_that_do_not_exist(self):
        for line in ["`cutaway paint`", "`cutaway draw --sed 3`", "`cutaway draw --other`", "`cutaway draw --loud`", "`tools/debug paint`",
                     "`cutaway --seed 3`", "`--loudly`", "`tools/gone`", '<img src="gone.svg" alt="">']:
            self.check(line, leads_somewhere=False, more={**self.PROGRAM, "tools/debug": "#!/bin/sh\n"})

    def test_page_of_commands_is_complete(self):
        for line, missing in [("`cutaway draw --seed 3`, `--isa`, `--quiet`", None), ("`cutaway draw`, `--isa`, `--quiet`", "--seed of `cutaway draw`"),
                              ("`--seed`, `--isa`, `--quiet`", "`cutaway draw`")]:
            code, output = run("check_docs", {**self.PROGRAM, "docs/commands.md": line, "README.md": "[commands](docs/commands.md)\n"})
            self.assertEqual(code, 1 if missing else 0, output)
            self.assertIn(f"docs/commands.md:1: does not tell of {missing}" if missing else "0 lead nowhere", output)

    def test_commands_in_fenced_code(self):
        for block in ["```\ncutaway draw --sed 3\n```", "```\ncutaway draw --seed 3 \\\n    --sed 3\n```", "```\ntools/gone --all\n```"]:
            code, output = run("check_docs", {**self.FILES, **self.LINKED, **self.PROGRAM, self.PAGE: f"# Page\n{block}\n"})
            self.assertEqual(code, 1, block)
            self.assertIn(f"{self.PAGE}:3: ", output)

    def test_header_without_its_page(self):
        code, output = run("check_docs", {"nn/b.h": "// \"Box\" in the picture.   Doc: docs/gone.md\n"})
        self.assertEqual(code, 1)
        self.assertIn("nn/b.h:1: docs/gone.md does not exist", output)

    def test_header_without_its_page_on_the_next_line(self):
        for file in ["nn/b.h", "notebooks/module/b.h", "notebooks/twins/b.h"]:
            code, output = run("check_docs", {file: "#pragma once\n// A long sentence.   Doc:\n// docs/gone.md\n"})
            self.assertEqual(code, 1)
            self.assertIn(f"{file}:2: docs/gone.md does not exist", output)

    def test_header_without_a_heading_of_its_page(self):
        code, output = run("check_docs", {"nn/b.h": "// A box.   Doc: docs/c.md#gone\n", "docs/c.md": "# C\n", **self.LINKED,
                                          "docs/a.md": "# A\n"})
        self.assertEqual(code, 1)
        self.assertIn("nn/b.h:1: docs/c.md has no heading #gone", output)

    def test_page_that_nobody_links_to(self):
        pages = {"docs/a.md": "# A\n[itself](a.md)\n", "README.md": "# Read\n"}
        code, output = run("check_docs", pages)
        self.assertEqual(code, 1)
        self.assertIn("docs/a.md:1: no other page links to it", output)
        self.assertEqual(run("check_docs", {**pages, "README.md": "[a](docs/a.md)"})[0], 0)
        self.assertEqual(run("check_docs", {**pages, "README.md": "`docs/a.md`"})[0], 0)
        self.assertEqual(run("check_docs", {**pages, "README.md": "[all](docs)", "docs/README.md": "[a](a.md)"})[0], 0)


class Comments(unittest.TestCase):
    FULL = "// " + "Some words that fill a line up to the very last column, as comments of several lines do; so it goes on and"

    def check(self, lines, broken_at=None):
        code, output = run("check_comments", {"nn/a.h": "\n".join(lines) + "\n"})
        self.assertEqual(code, 1 if broken_at else 0, output)
        if broken_at:
            self.assertIn(f"nn/a.h:{broken_at}: ", output)

    def test_whole(self):
        self.check(["// ---- DownBlock", "", "// A box.   Doc: docs/a.md", self.FULL, "// so on.", "// Doc: docs/b.md"])
        self.check(['throw Error(', '    "one text that is a sentence "', '    "and goes on in another");'])
        self.check(['    "a text of ' + "very " * 25 + 'long lines"'])

    def test_broken(self):
        self.check(["// " + "w " * 60], broken_at=1)
        self.check(["int x;", "// ---- DownBlock", "// " + "-" * 90], broken_at=2)
        self.check(["// A box of the picture.   Doc:", "// docs/a.md"], broken_at=1)
        self.check([self.FULL, "// on."], broken_at=2)
        self.check([self.FULL, "// on", self.FULL], broken_at=2)
        self.check(['throw Error(', '    "one text that is a sentence "', '    "and "', '    "goes on in another");'], broken_at=3)

    def test_empty_tree(self):
        self.assertEqual(run("check_comments", {"README.md": "no code"})[0], 1)


class Mistakes(unittest.TestCase):
    def test_all_can_be_planted(self):
        done = subprocess.run([TOOLS / "measure_mistakes", "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
