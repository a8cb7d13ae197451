"""The tables of a study's results."""

from dataclasses import replace

import numpy as np
import pytest

from datransnet.engine.recipe import Recipe
from datransnet.metrics import COUNT_FIELDS, summarise
from pipeline.reporting.leaks import unseen
from pipeline.reporting.result_tables import (
    WITHOUT_LEAKS,
    ablation_table,
    components_table,
    cost_table,
    main_table,
    operating_table,
    search_table,
    selection_table,
)
from pipeline.reporting.statistics import change_without
from pipeline.scoring.costs import Costs, RunCost
from pipeline.scoring.evaluation import (
    Areas,
    BestOnTest,
    Dataset,
    OperatingPoint,
    Reliability,
    ScoredPeer,
    ScoredRun,
    StudyEvaluation,
)
from pipeline.study.handover import Best, TrialResult, Tuned


def counts(images, rng):
    union = rng.integers(5, 20, images)
    table = {name: rng.integers(0, 5, images) for name in COUNT_FIELDS}
    table |= {"union": union, "intersection": (union * 0.6).astype(int), "labelled": union, "targets": np.ones(images)}
    return {name: column.astype(int).tolist() for name, column in table.items()} | {"pixels": [1000] * images}


def evaluation(protocol="holdout"):
    """Two variants on two seeds each, scored on ninety images."""
    rng = np.random.default_rng(1)
    runs = []
    for variant in ("full", "plain_%"):
        for seed in (1, 2):
            table = counts(90, rng)
            found = summarise({name: np.asarray(column) for name, column in table.items()})
            run = ScoredRun(
                key=f"k{len(runs)}",
                variant=variant,
                stage="train",
                seed=1000 * seed,
                seed_number=seed,
                model={"image_size": 64},
                val_iou=0.5 + seed / 10,
                best_epoch=3,
                best_on_test=BestOnTest(epoch=4, iou=found.iou + 0.01),
                counts={"basicirstd": table},
                scores={"basicirstd": found},
                areas=Areas(0.9, 0.9, 0.9),
                calibration=Reliability(0.1, 0.1, [1], [0.5], [0.5]),
                operating=OperatingPoint(0.3, table, found),
            )
            runs.append(run)
    summary = {"test": {"images": 90, "targets": 90, "empty": 0}}
    data = Dataset("Toy", "half", "d", summary, excluded={"a_1": "why"}, treated={}, remarks=[], sanitation={})
    return StudyEvaluation(data, protocol, max_fa=2e-5, ids=[], runs=runs, removals={}, peers=[])


def costs_of(found):
    cost = RunCost(1000, int(2e9), 3.25, size=64, threads=1, device="x86_64", training=90, environment={}, git="")
    return Costs({run.key: cost for run in found.runs})


def test_components_are_put_back_and_put_in_alone():
    found = evaluation()
    one, other = (next(run for run in found.runs if run.variant == name) for name in ("full", "plain_%"))
    runs = [one, *(replace(run, variant=name) for run, name in ((other, "without_a"), (one, "without_b")))]
    runs.append(replace(other, variant="without_a_b"))
    removals = {"without_a": ["a"], "without_b": ["b"], "without_a_b": ["a", "b"]}
    found = replace(found, runs=runs, removals=removals)
    table = components_table(found)
    assert [(row["component"], row["how"], row["without"], row["with"]) for row in table.rows] == [
        ("a", "leave one out", "without_a", "full"),
        ("b", "leave one out", "without_b", "full"),
        ("a", "add one in", "without_a_b", "without_b"),
        ("b", "add one in", "without_a_b", "without_a"),
    ]
    gain = one.scores["basicirstd"].iou - other.scores["basicirstd"].iou
    assert [row["iou_change_change"] for row in table.values] == pytest.approx([gain, 0, gain, 0])
    assert components_table(replace(found, removals={"without_a": ["a"]})) is None


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
    better = found.runs[1]  # the seed with the higher validation IoU
    worse = {name: list(column) for name, column in better.counts["basicirstd"].items()}
    worse["intersection"] = [value // 2 for value in worse["intersection"]]
    peer = ScoredPeer("peer-Theirs", "Theirs", {"basicirstd": worse}, {}, better.areas, better.calibration)
    ours, theirs = main_table(replace(found, peers=[peer])).rows
    assert (ours["model"], theirs["model"], theirs["seeds"]) == ("DATransNet", "Theirs", "1")
    assert (ours["ΔIoU"], theirs["p"]) == ("", "<0.001")
    expected = sum(worse["intersection"]) / sum(worse["union"]) - better.scores["basicirstd"].iou
    assert theirs["ΔIoU"].startswith(f"{100 * expected:.2f} [")


def leaking(protocol="holdout"):
    """The same, where two test images are near duplicates of what was seen: one directly, one through the other."""
    found = evaluation(protocol)
    near = [
        [["seen", "train"], ["t3", "test"]],
        [["seen", "train"], ["t4", "test"]],
        [["chosen", "val"], ["t5", "test"]],
        [["t6", "test"], ["t7", "test"]],
    ]
    data = replace(found.dataset, sanitation={"near_duplicates": near, "duplicates": []})
    return replace(found, dataset=data, ids=[f"t{number}" for number in range(90)])


@pytest.mark.parametrize("protocol", ["holdout", "literature"])
def test_the_main_table_has_a_line_without_test_images_that_resemble_seen_ones(protocol):
    found = leaking(protocol)
    assert np.flatnonzero(~unseen(found)).tolist() == [3, 4, 5]
    every, without = main_table(found).values
    assert without["model"] == WITHOUT_LEAKS
    kept = [place for place in range(90) if place not in (3, 4, 5)]
    expected = []
    for run in found.winners:
        columns = {name: np.asarray(column)[kept] for name, column in run.counts["basicirstd"].items()}
        expected.append(summarise(columns))
    assert without["iou"] == pytest.approx(np.mean([score.iou for score in expected]))
    assert without["niou"] == pytest.approx(np.mean([score.niou for score in expected]))
    assert without["iou_change_change"] == pytest.approx(without["iou"] - every["iou"])
    assert without["iou_change_low"] <= without["iou_change_change"] <= without["iou_change_high"]
    table = main_table(found)
    assert table.rows[1]["ΔIoU"].startswith(f"{100 * without['iou_change_change']:+.2f} [")
    assert table.rows[1]["p"] == ""
    assert "3 of 90 test images have a near duplicate" in table.note
    assert "No test image has a near duplicate" in main_table(evaluation(protocol)).note


def test_leaving_nothing_out_changes_nothing():
    runs = [run.counts["basicirstd"] for run in evaluation().winners]
    change = change_without(runs, np.ones(90, dtype=bool), "iou")
    assert change.change == 0
    assert np.isnan(change.p)


def test_a_table_without_enough_seeds_has_no_interval_over_them():
    row = main_table(evaluation()).rows[0]
    assert "±" not in row["IoU (%)"]
    assert "[" in row["IoU (%)"]


def test_the_gain_of_choosing_on_the_test_part_is_told():
    table = selection_table(evaluation())
    assert [row["gain"] for row in table.rows] == ["+1.00", "+1.00"]
    assert "†" in table.note
    found = evaluation()
    unwatched = replace(found, runs=[replace(run, best_on_test=None) for run in found.runs])
    assert selection_table(unwatched) is None


def test_the_operating_point_stands_beside_the_usual_threshold():
    table = operating_table(evaluation())
    assert [row["threshold"] for row in table.rows] == ["0.5", "0.3, 0.3"]
    assert "validation part" in table.note
    assert "test part †" in operating_table(evaluation("literature")).note


def test_a_search_under_conditions_has_every_column_in_every_line():
    trial = TrialResult(0, "k", ["k"], "done", "", 2, 0.5, {}, {"recipe.lr": 0.01}, [0.4, 0.5])
    other = replace(trial, number=1, best_iou=0.4, point={"recipe.alpha": 0.3, "recipe.lr": 0.002})
    best = Best("k", 0.5, {"name": "datransnet"}, Recipe())
    rows = search_table(Tuned(best, [trial, other], ["iou"], {}, [])).rows
    assert [list(row)[4:] for row in rows] == [["recipe.lr", "recipe.alpha"]] * 2
    assert [row["recipe.alpha"] for row in rows] == ["", "0.3"]
