"""Replays: strategies train what they say, once, and are counted right."""

from itertools import islice

import numpy as np
import optuna
import pytest

from benchmarks.recorded import CURVES, Table, read_table, write_table
from benchmarks.search import STRATEGIES, Recording, best_of, epochs_to, random_search, recording_of
from pipeline.runs.source import ROOT


@pytest.fixture(scope="module")
def recorded():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return recording_of(ROOT, CURVES / "quick.csv")


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_trains_each_point_on_from_where_it_was(recorded, name):
    """The first forty parts: a Gaussian process takes long."""
    reached = {}
    parts = list(islice(STRATEGIES[name](recorded, 3), 40))
    for row, first, last in parts:
        assert reached.get(row, 0) == first < last <= recorded.table.epochs
        reached[row] = last
    assert len(reached) >= 16
    assert recorded.table.epochs in reached.values()
    assert list(islice(STRATEGIES[name](recorded, 3), 12)) == parts[:12]


def test_epochs_are_counted_until_the_goal():
    iou = np.array([[0.1, 0.2, 0.3], [0.0, 0.5, 0.4], [0.1, 0.1, 0.1]])
    table = Table({}, [{}, {}, {}], {"iou": iou}, iou)

    def strategy(recorded, seed):
        yield 2, 0, 1
        yield 0, 0, 3
        yield 1, 0, 3

    recorded = Recording(None, table)
    assert epochs_to(0.3, recorded, strategy, 0) == 4
    assert epochs_to(0.5, recorded, strategy, 0) == 6
    assert epochs_to(0.6, recorded, strategy, 0) == np.inf
    assert best_of(2, recorded, strategy, 0) == 0.3
    assert sorted(row for row, _, _ in random_search(recorded, 1)) == [0, 1, 2]


def test_a_table_is_read_as_it_was_written(recorded, tmp_path):
    write_table(tmp_path / "again.csv", recorded.table, "a comment")
    again = read_table(tmp_path / "again.csv", recorded.space)
    assert again.points == recorded.table.points
    for name, curve in recorded.table.curves.items():
        assert again.curves[name] == pytest.approx(curve, rel=1e-5, nan_ok=True)


def test_the_nearest_point_keeps_its_choices(recorded):
    for row in (0, 7, 100):
        point = recorded.table.points[row]
        assert recorded.nearest(point, []) == row
        other = recorded.table.points[recorded.nearest(point, [row])]
        assert other["recipe.loss"] == point["recipe.loss"]
        assert other != point
