"""Records, sources, statistics, tables and tracking, each on its own."""

import json
import multiprocessing
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pylatexenc.latexwalker import LatexWalker

from datransnet.data.catalogue import CATALOGUE
from datransnet.engine.recipe import Recipe
from datransnet.errors import DataError
from datransnet.metrics import CONVENTIONS, COUNT_FIELDS
from datransnet.metrics.curves import CURVE_POINTS, thinned
from pipeline.support import source
from pipeline.support.limit import detection_limit, limit_table
from pipeline.support.records import Record, Run, RunFolder, all_records
from pipeline.support.references import published, reference_tables
from pipeline.support.results import (
    ablation_table,
    components_table,
    cost_table,
    main_table,
    operating_table,
    search_table,
    selection_table,
)
from pipeline.support.stages import read_result, write_result
from pipeline.support.tables import Table

RUN = Run("Toy", "half", "d" * 8, "holdout", {"name": "datransnet", "width": 4}, Recipe(epochs=3), 1, "s" * 8)


def history(epochs):
    return [{"epoch": n, "loss": 1 / n, "best_iou": n / 10, "best_epoch": n} for n in range(1, epochs + 1)]


def record(**changes):
    return replace(Record(RUN, started="2026-01-01T00:00:00+00:00", git="abc"), **changes)


def test_a_record_reads_back_as_written(tmp_path):
    folder = RunFolder(tmp_path, RUN.key)
    written = record(status="done", history=history(2))
    folder.write(written)
    assert folder.read() == written
    assert folder.read().run.key == RUN.key


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"data_digest": "x"},
        {"source": "x"},
        {"recipe": Recipe(epochs=4)},
        {"model": {"name": "datransnet"}},
    ],
)
def test_the_key_depends_on_everything_a_run_is(change):
    assert replace(RUN, **change).key != RUN.key
    assert replace(RUN).key == RUN.key


def hold(path, said):
    with RunFolder(path, RUN.key).locked():
        said.send("held")
        multiprocessing.parent_process().join()


def test_a_run_that_a_process_holds_is_running_and_else_interrupted(tmp_path):
    folder = RunFolder(tmp_path, RUN.key)
    folder.write(record())
    context = multiprocessing.get_context("spawn")
    heard, said = context.Pipe(duplex=False)
    process = context.Process(target=hold, args=(tmp_path, said))
    process.start()
    said.close()  # so that its death is heard, too
    try:
        assert heard.recv() == "held"
        assert [found.status for _, found in all_records(tmp_path)] == ["running"]
    finally:
        process.kill()
        process.join()
    assert [found.status for _, found in all_records(tmp_path)] == ["interrupted"]


def test_results_of_another_schema_are_refused(tmp_path):
    write_result(tmp_path / "x.json", {"a": 1})
    assert read_result(tmp_path / "x.json", "tune")["a"] == 1
    (tmp_path / "x.json").write_text(json.dumps({"schema": 0}), encoding="utf-8")
    with pytest.raises(DataError, match="Run the tune stage again"):
        read_result(tmp_path / "x.json", "tune")


def test_the_source_digest_ignores_comments_and_sees_code(tmp_path, monkeypatch):
    package = tmp_path / "datransnet"
    package.mkdir()
    monkeypatch.setattr(source, "ROOT", tmp_path)

    def digest(text):
        (package / "one.py").write_text(text, encoding="utf-8")
        source.source_digest.cache_clear()
        return source.source_digest("datransnet.one")

    (package / "two.py").write_text("b = 1\n", encoding="utf-8")
    plain = digest("from datransnet.two import b\na = b\n")
    assert digest('"""Says."""\nfrom datransnet.two import b  # why\n\n\na = b\n') == plain
    assert digest("from datransnet.two import b\na = b + 1\n") != plain
    (package / "two.py").write_text("b = 2\n", encoding="utf-8")
    assert digest("from datransnet.two import b\na = b\n") != plain
    source.source_digest.cache_clear()


def counts(images, rng):
    union = rng.integers(5, 20, images)
    table = {name: rng.integers(0, 5, images) for name in COUNT_FIELDS}
    table |= {"union": union, "intersection": (union * 0.6).astype(int), "labelled": union, "targets": np.ones(images)}
    return {name: column.astype(int).tolist() for name, column in table.items()} | {"pixels": [1000] * images}


def evaluation(protocol="holdout"):
    rng = np.random.default_rng(1)
    runs = []
    for variant in ("full", "plain_%"):
        for seed in (1, 2):
            table = counts(90, rng)
            iou = sum(table["intersection"]) / sum(table["union"])
            runs.append(
                {
                    "variant": variant,
                    "seed": seed,
                    "val_iou": 0.5 + seed / 10,
                    "best_epoch": 3,
                    "best_on_test": {"epoch": 4, "iou": iou + 0.01},
                    "operating": {"threshold": 0.3, "counts": table},
                    "counts": {"basicirstd": table},
                    "scores": {"basicirstd": {"iou": iou}},
                }
            )
    summary = {"test": {"images": 90, "targets": 90, "empty": 0}}
    dataset = {"name": "Toy", "split": "half", "summary": summary, "excluded": {"a_1": "why"}, "treated": {}}
    found = {"protocol": protocol, "dataset": dataset, "max_fa": 2e-5, "runs": runs, "peers": [], "removals": {}}
    for place, run in enumerate(runs):
        run |= {"key": f"k{place}", "model": {"image_size": 64}}
    return found


def costs_of(found):
    cost = {"parameters": 1000, "operations": 2e9, "latency": 3.25, "threads": 1, "training": 90}
    cost |= {"size": 64, "device": "x86_64", "environment": {}}
    return {run["key"]: cost for run in found["runs"]}


def test_components_are_put_back_and_put_in_alone():
    found = evaluation()
    names = {"full": "full", "plain_%": "without_a"}
    one, other = (next(run for run in found["runs"] if run["variant"] == name) for name in names)
    found["removals"] = {"without_a": ["a"], "without_b": ["b"], "without_a_b": ["a", "b"]}
    found["runs"] = [one | {"variant": "full"}]
    found["runs"] += [
        other | {"variant": "without_a"},
        one | {"variant": "without_b"},
        other | {"variant": "without_a_b"},
    ]
    table = components_table(found)
    assert [(row["component"], row["how"], row["without"], row["with"]) for row in table.rows] == [
        ("a", "leave one out", "without_a", "full"),
        ("b", "leave one out", "without_b", "full"),
        ("a", "add one in", "without_a_b", "without_b"),
        ("b", "add one in", "without_a_b", "without_a"),
    ]
    gain = one["scores"]["basicirstd"]["iou"] - other["scores"]["basicirstd"]["iou"]
    assert [row["iou_change_change"] for row in table.values] == pytest.approx([gain, 0, gain, 0])
    assert components_table(found | {"removals": {"without_a": ["a"]}}) is None


def test_the_cost_table_has_a_line_a_variant():
    found = evaluation()
    rows = cost_table(found, costs_of(found)).rows
    assert rows[0] == {
        "variant": "full",
        "parameters": "1,000",
        "multiply-adds (G)": "1.000",
        "latency (ms)": "3.2",
        "training (min)": "1.5",
    }
    assert [row["variant"] for row in rows] == ["full", "plain_%"]


def test_published_numbers_stand_beside_ours_only_where_they_may():
    found = evaluation()
    assert reference_tables(found, main_table(found)) == []
    found["dataset"] |= {"name": "SIRST", "split": "50_50"}
    same, apart = reference_tables(found, main_table(found))
    assert same.rows[0]["method"] == "DATransNet, this study"
    assert {row["convention"] for row in same.rows} == {"basicirstd"}
    assert ("DNA-Net", "74.81") in {(row["method"], row["IoU (%)"]) for row in same.rows}
    assert "DNA-Net †" in {row["method"] for row in apart.rows}
    reasons = {row["method"]: row["why not"] for row in apart.rows}
    assert reasons["HDNet †"] == "split idx_427; convention not known"
    assert same.note.endswith("on the same images to the last: a_1 (why).")
    found["dataset"]["excluded"] = {}
    assert "to the last" not in reference_tables(found, main_table(found))[0].note
    found["dataset"]["split"] = "idx_427"
    (apart,) = reference_tables(found, main_table(found))
    assert len(apart.rows) == len([entry for entry in published() if entry["dataset"] == "SIRST"])


def test_every_published_number_names_its_source():
    keys = {"method", "dataset", "split", "convention", "selection", "iou", "niou", "f1", "pd", "fa", "source"}
    for entry in published():
        assert set(entry) == keys
        assert entry["source"]
        assert entry["dataset"] in CATALOGUE
        assert entry["split"] is None or entry["split"] in CATALOGUE[entry["dataset"]].splits
        assert entry["convention"] is None or entry["convention"] in CONVENTIONS
        assert entry["selection"] in ("last", "test", None)


def test_tables_say_the_same_in_every_format(tmp_path):
    table = ablation_table(evaluation())
    table.write(tmp_path)
    for row in table.rows:
        cell = row["IoU (%)"]
        assert cell in (tmp_path / "ablation.md").read_text(encoding="utf-8")
        assert cell.replace("±", r"$\pm$") in (tmp_path / "ablation.tex").read_text(encoding="utf-8")
    assert f"{table.values[0]['iou']:.6g}" in (tmp_path / "ablation.csv").read_text(encoding="utf-8")
    assert r"plain\_\%" in (tmp_path / "ablation.tex").read_text(encoding="utf-8")
    assert "a\\_1" in (tmp_path / "ablation.tex").read_text(encoding="utf-8")


def test_numbers_selected_on_the_test_part_are_marked():
    assert "†" in main_table(evaluation("literature")).rows[0]["convention"]
    assert "†" in main_table(evaluation("literature")).note
    assert "†" not in str(main_table(evaluation()))


def test_a_peer_stands_in_the_same_table_with_its_difference():
    found = evaluation()
    worse = {name: list(column) for name, column in found["runs"][1]["counts"]["basicirstd"].items()}
    worse["intersection"] = [value // 2 for value in worse["intersection"]]
    found["peers"] = [{"variant": "Theirs", "key": "peer-Theirs", "counts": {"basicirstd": worse}}]
    ours, theirs = main_table(found).rows
    assert (ours["model"], theirs["model"], theirs["seeds"]) == ("DATransNet", "Theirs", "1")
    assert (ours["ΔIoU"], theirs["p"]) == ("", "<0.001")
    best = found["runs"][1]["scores"]["basicirstd"]["iou"]  # the seed with the higher validation IoU
    expected = sum(worse["intersection"]) / sum(worse["union"]) - best
    assert theirs["ΔIoU"].startswith(f"{100 * expected:.2f} [")


def test_a_table_without_enough_seeds_has_no_interval_over_them():
    row = main_table(evaluation()).rows[0]
    assert "±" not in row["IoU (%)"]
    assert "[" in row["IoU (%)"]


def test_the_gain_of_choosing_on_the_test_part_is_told():
    table = selection_table(evaluation())
    assert [row["gain"] for row in table.rows] == ["+1.00", "+1.00"]
    assert "†" in table.note
    unwatched = evaluation()
    for run in unwatched["runs"]:
        run["best_on_test"] = None
    assert selection_table(unwatched) is None


def test_the_operating_point_stands_beside_the_usual_threshold():
    table = operating_table(evaluation())
    assert [row["threshold"] for row in table.rows] == ["0.5", "0.3, 0.3"]
    assert "validation part" in table.note
    assert "test part †" in operating_table(evaluation("literature")).note


TABLES = Table("t", "Pd & Fa at 50 %", "a_b † ±", [{"Fa (1e-6)": "1 ± 2", "x_y": "<0.001 †"}], [{"x": 1}])


def test_a_search_under_conditions_has_every_column_in_every_line():
    trial = {"number": 0, "status": "done", "reason": "", "epochs": 2, "best_iou": 0.5, "point": {"recipe.lr": 0.01}}
    other = trial | {"number": 1, "best_iou": 0.4, "point": {"recipe.alpha": 0.3, "recipe.lr": 0.002}}
    rows = search_table({"trials": [trial, other]}).rows
    assert [list(row)[4:] for row in rows] == [["recipe.lr", "recipe.alpha"]] * 2
    assert [row["recipe.alpha"] for row in rows] == ["", "0.3"]


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


def test_thinning_keeps_the_ends_of_a_curve():
    from datransnet.metrics import Curve

    x = np.linspace(0, 1, 5000)
    points = thinned(Curve(x, np.sqrt(x), 1 - x, 0.5))
    assert len(points) <= CURVE_POINTS
    assert points[0].tolist() == [0, 0, 1]
    assert points[-1].tolist() == [1, 1, 0]


def test_the_detection_limit_counts_each_target_once_and_by_its_size():
    rows = [
        {"key": key, "id": "a", "row": n, "column": 0.0, "pixels": 4 if n < 6 else 30, "scr": scr, "detected": hit}
        for key in ("first", "second")
        for n, (scr, hit) in enumerate([(-1, 0), (1, 0), (5, 1), (5, key == "first"), (9, 1), (30, 1), (5, 1), (25, 1)])
    ]
    limit = detection_limit(pd.DataFrame(rows))
    small = limit[limit["size"] == "small"].set_index("low")
    assert small["number"].to_dict() == {0.0: 2, 4.0: 2, 8.0: 1, 20.0: 1}
    assert small["pd"].to_dict() == {0.0: 0.0, 4.0: 0.75, 8.0: 1.0, 20.0: 1.0}
    assert (limit["pd_low"] <= limit["pd"]).all()
    table = limit_table(limit, 4.0)
    assert table.rows[0]["local SCR"] == "0 to 2"
    assert table.rows[-1] == {
        "size": "large", "local SCR": "20 and more", "targets": "1", "Pd (%)": "100.0", "interval (%)": "[20.7, 100.0]"
    }  # fmt: skip
