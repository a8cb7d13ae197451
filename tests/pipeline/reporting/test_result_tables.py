"""The tables of a study's results."""

import numpy as np
import pytest

from datransnet.metrics import COUNT_FIELDS
from pipeline.reporting.result_tables import (
    ablation_table,
    components_table,
    cost_table,
    main_table,
    operating_table,
    search_table,
    selection_table,
)


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


def test_a_search_under_conditions_has_every_column_in_every_line():
    trial = {"number": 0, "status": "done", "reason": "", "epochs": 2, "best_iou": 0.5, "point": {"recipe.lr": 0.01}}
    other = trial | {"number": 1, "best_iou": 0.4, "point": {"recipe.alpha": 0.3, "recipe.lr": 0.002}}
    rows = search_table({"trials": [trial, other]}).rows
    assert [list(row)[4:] for row in rows] == [["recipe.lr", "recipe.alpha"]] * 2
    assert [row["recipe.alpha"] for row in rows] == ["", "0.3"]
