"""A table says the same in every format."""

import re
import shutil
import subprocess

from pylatexenc.latexwalker import LatexWalker

from pipeline.reporting.table import Table

TABLES = Table("t", "Pd & Fa at 50 %", "a_b † ±", [{"Fa (1e-6)": "1 ± 2", "x_y": "<0.001 †"}], [{"x": 1}])


def test_a_latex_table_compiles(tmp_path):
    TABLES.write(tmp_path)
    check_latex(tmp_path)


def check_latex(folder):
    """Compile all tables of a folder where there is TeX with booktabs; else parse them and count cells."""
    tables = sorted(folder.glob("*.tex"))
    assert tables
    tex, style = shutil.which("pdflatex"), ["kpsewhich", "booktabs.sty"]
    if tex and subprocess.run(style, capture_output=True, check=False).returncode == 0:
        lines = [r"\documentclass{article}", r"\usepackage{booktabs}", r"\begin{document}"]
        lines += [*(rf"\input{{{path.stem}}}" for path in tables), r"\end{document}"]
        (folder / "all.tex").write_text("\n".join(lines), encoding="utf-8")
        command = [tex, "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        return
    for path in tables:
        text = path.read_text(encoding="utf-8")
        LatexWalker(text, tolerant_parsing=False).get_latex_nodes()
        columns = re.search(r"\\begin{tabular}{(\w+)}", text)[1]
        rows = re.findall(r"^(.*) \\\\$", text.split(r"\toprule")[1], re.MULTILINE)
        assert len(rows) > 1
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}, path.name
        assert not re.search(r"(?<!\\)[%#_$](?!\\)", re.sub(r"\$\S+\$|\\(?:label|caption)?{tab:\w+}", "", text)), (
            path.name
        )


def test_an_empty_table_is_a_file(tmp_path):
    Table("t", "title", "note", [{"a": "1"}], [{"a": 1}]).write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.md", "t.tex"]
