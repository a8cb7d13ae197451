"""The tables of a study's results."""

from dataclasses import replace

import numpy as np
import pytest

from datransnet.engine.recipe import Recipe
from datransnet.metrics import COUNT_FIELDS, HIERARCHICAL_FIELDS, Budget, summarise
from pipeline.reporting.ablation_tables import ablation_table, components_table
from pipeline.reporting.claims import difference
from pipeline.reporting.hierarchical_table import hierarchical_table
from pipeline.reporting.leaks import unseen
from pipeline.reporting.names import without_leaks
from pipeline.reporting.operating_table import operating_table
from pipeline.reporting.planning import planning_table
from pipeline.reporting.result_tables import cost_table, main_table, search_table, selection_table
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


def evaluation(protocol="holdout", seeds=2):
    """Two variants on some seeds each, scored on ninety images."""
    rng = np.random.default_rng(1)
    runs = []
    matches = {name: rng.integers(0, 3, 90).tolist() for name in HIERARCHICAL_FIELDS}
    matches |= {f"lone_{kind}": [0] * 90 for kind in ("alarms", "misses")}
    for variant in ("full", "plain_%"):
        for seed in range(1, seeds + 1):
            table = counts(90, rng)
            found = summarise({name: np.asarray(column) for name, column in table.items()})
            run = ScoredRun(
                key=f"k{len(runs)}",
                network="datransnet",
                variant=variant,
                stage="train",
                seed=1000 * seed,
                seed_number=seed,
                model={"name": "datransnet", "image_size": 64},
                val_iou=0.5 + seed / 10,
                best_epoch=3,
                best_on_test=BestOnTest(epoch=4, iou=found.iou + 0.01),
                counts={"basicirstd": table},
                scores={"basicirstd": found},
                hierarchical=matches,
                areas=Areas(0.9, 0.9, 0.9),
                calibration=Reliability(0.1, 0.1, [1], [0.5], [0.5]),
                operating=[
                    OperatingPoint(budget, cautious, 0.3 + 0.1 * cautious, table, found)
                    for budget in (Budget(2e-3), Budget(1.0, "image"))
                    for cautious in (False, True)
                ],
            )
            runs.append(run)
    summary = {"test": {"images": 90, "targets": 90, "empty": 0}}
    data = Dataset("Toy", "half", "d", summary, excluded={"a_1": "why"}, treated={}, remarks=[], sanitation={})
    return StudyEvaluation(data, protocol, ids=[], runs=runs, removals={}, peers=[])


def costs_of(found):
    cost = RunCost(1000, int(2e9), 3.25, size=64, threads=1, device="x86_64", training=90, environment={}, git="")
    return Costs({run.key: cost for run in found.runs}, {}, {})


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
    assert [row["iou_change"] for row in table.values] == pytest.approx([gain, 0, gain, 0])
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
    peer = ScoredPeer(
        "peer-Theirs", "Theirs", {"basicirstd": worse}, {}, better.hierarchical, better.areas, better.calibration
    )
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
    assert without["model"] == without_leaks(found)
    kept = [place for place in range(90) if place not in (3, 4, 5)]
    expected = []
    for run in found.winners:
        columns = {name: np.asarray(column)[kept] for name, column in run.counts["basicirstd"].items()}
        expected.append(summarise(columns))
    assert without["iou"] == pytest.approx(np.mean([score.iou for score in expected]))
    assert without["niou"] == pytest.approx(np.mean([score.niou for score in expected]))
    assert without["iou_change"] == pytest.approx(without["iou"] - every["iou"])
    assert without["iou_change_low"] <= without["iou_change"] <= without["iou_change_high"]
    table = main_table(found)
    assert table.rows[1]["ΔIoU"].startswith(f"{100 * without['iou_change']:+.2f} [")
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


def test_operating_points_stand_beside_the_usual_threshold_with_what_became_of_their_budgets():
    table = operating_table(evaluation())
    assert [row["threshold"] for row in table.rows] == ["0.5", *["0.3, 0.3", "0.4, 0.4"] * 2]
    assert [row["budget"] for row in table.rows][1::2] == ["Fa ≤ 2000e-6", "alarms/image ≤ 1"]
    mean = {name: table.values[1][name] for name in ("fa", "alarms_per_image")}
    assert mean["fa"] == pytest.approx(2e-3, rel=0.1)  # uniform from 0 to 4 of 1000 pixels
    assert table.values[1]["fate"] == ("within" if mean["fa"] <= 2e-3 else "beyond") + ", not surely"
    assert table.values[3]["fate"] == "broken"  # two an image
    assert "validation part" in table.note
    assert "test part †" in operating_table(evaluation("literature")).note
    nothing = evaluation()
    runs = [replace(run, operating=[replace(point, threshold=1) for point in run.operating]) for run in nothing.runs]
    assert operating_table(replace(nothing, runs=runs)).values[1]["fate"] == "nothing detected"


def test_methods_are_compared_from_three_trainings_of_each_on():
    few, enough = ablation_table(evaluation()), ablation_table(evaluation(seeds=3))
    assert (few.rows[1]["p"], few.rows[1]["ΔIoU"].count("[")) == ("", 0)
    assert few.rows[1]["p of these networks"]
    line, terms = enough.values[1], []
    for variant in ("full", "plain_%"):
        found = [run.counts["basicirstd"] for run in evaluation(seeds=3).runs if run.variant == variant]
        terms.append(tuple(np.array([run[name] for run in found], float) for name in ("intersection", "union")))
    expected = difference(*terms)
    assert (line["iou_change"], line["p"]) == (expected.change, expected.p)
    assert (line["iou_change_low"], line["iou_change_high"]) == (expected.low, expected.high)
    assert enough.rows[1]["ΔIoU"].endswith(f"{100 * expected.high:.2f}]")


def test_what_could_be_told_is_planned_from_the_spread_seen():
    table = planning_table(evaluation(seeds=4), costs_of(evaluation(seeds=4)))
    told = [row["least_difference"] for row in table.values]
    assert told == sorted(told, reverse=True)
    assert [row["trainings of each"] for row in table.rows][:2] == ["3", "4 (this study)"]
    assert table.rows[0]["hours for two methods"] == f"{6 * 90 / 3600:.2f}"
    alone = evaluation()
    alone = replace(alone, runs=alone.winners)
    assert planning_table(alone, costs_of(alone)) is None
    once = evaluation(seeds=1)
    assert planning_table(once, costs_of(once)) is None


def test_hierarchical_iou_has_a_line_for_each_form():
    found = evaluation()
    ours, released = hierarchical_table(found).values
    matches = {name: np.array(column) for name, column in found.runs[0].hierarchical.items()}
    every = matches["matched"] + matches["alarms"] + matches["misses"]
    assert ours["hiou"] == pytest.approx(matches["overlap"].sum() / every.sum())
    nothing = sum((matches["matched"] + matches[kind] == 0).sum() for kind in ("alarms", "misses"))
    assert released["hiou"] == pytest.approx(matches["overlap"].sum() / (every.sum() + nothing))


def test_a_search_under_conditions_has_every_column_in_every_line():
    trial = TrialResult(0, "k", ["k"], "done", "", 2, 0.5, {}, {"recipe.lr": 0.01}, [0.4, 0.5])
    other = replace(trial, number=1, best_iou=0.4, point={"recipe.alpha": 0.3, "recipe.lr": 0.002})
    best = Best("k", 0.5, {"name": "datransnet"}, Recipe())
    rows = search_table(Tuned(best, [trial, other], ["iou"], {}, [])).rows
    assert [list(row)[4:] for row in rows] == [["recipe.lr", "recipe.alpha"]] * 2
    assert [row["recipe.alpha"] for row in rows] == ["", "0.3"]


def test_tables_are_named_after_the_network():
    found = evaluation()
    other = replace(found, runs=[replace(run, model={"name": "dnanet"}) for run in found.runs])
    table = main_table(other)
    assert table.rows[0]["model"] == "DNA-Net"
    assert table.title.startswith("DNA-Net on ")
    theirs = {"name": "external", "source": "/somewhere", "call": "model.net:TheirNet"}
    foreign = replace(found, runs=[replace(run, model=theirs) for run in found.runs])
    assert main_table(foreign).rows[0]["model"] == "TheirNet"
