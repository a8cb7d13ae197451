"""What stages hand to each other."""

import json

import pytest

from datransnet.engine.recipe import Recipe
from datransnet.errors import DataError
from pipeline.study.handover import Best, TrialResult, Tuned, read_result, write_result

TUNED = Tuned(
    best=Best("k", 0.5, {"name": "datransnet", "dilations": [[1, 3]]}, Recipe(epochs=3)),
    trials=[TrialResult(0, "k", ["k"], "done", "", 2, 0.5, {"latency": float("inf")}, {"recipe.lr": 0.01}, [0.4, 0.5])],
    objectives=["iou", "latency"],
    importances={},
    pareto=[0],
)


def test_a_result_reads_back_as_it_was_written(tmp_path):
    write_result(tmp_path / "x.json", TUNED)
    assert read_result(tmp_path / "x.json", Tuned, "tune") == TUNED


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 0}, "has schema 0, not 1. Run the tune stage again"),
        ({"best": None}, "not as the tune stage writes it .at best"),
    ],
)
def test_results_of_another_kind_are_refused(tmp_path, change, words):
    write_result(tmp_path / "x.json", TUNED)
    content = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    (tmp_path / "x.json").write_text(json.dumps(content | change), encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_result(tmp_path / "x.json", Tuned, "tune")


def test_results_that_are_not_there_are_told(tmp_path):
    with pytest.raises(DataError, match="Run the tune stage first"):
        read_result(tmp_path / "x.json", Tuned, "tune")
