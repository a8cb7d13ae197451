"""Places with what is left open, and studies joined into boards."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datransnet.errors import DataError
from pipeline.reporting.leaderboard import Finished, boards, leaderboard_tables
from pipeline.reporting.ranking import places
from pipeline.scoring.costs import Costs, RunCost
from pipeline.scoring.evaluation import ScoredPeer
from pipeline.study.handover import Best, Searches, Tuned
from pipeline.study.params import WINNER
from tests.pipeline.reporting.test_result_tables import evaluation


def methods(qualities, seeds=4, images=100, spread=0.005):
    rng = np.random.default_rng(0)
    below = np.full((seeds, images), 20.0)
    noise = [rng.normal(0, spread, (seeds, 1)) + rng.normal(0, 0.02, (seeds, images)) for _ in qualities]
    return [(below * (quality + each), below) for quality, each in zip(qualities, noise, strict=True)]


def test_methods_that_cannot_be_told_apart_share_their_places():
    found = places(methods([0.5, 0.8, 0.8001, 0.3]))
    assert [(each.best, each.worst) for each in found] == [(3, 3), (1, 2), (1, 2), (4, 4)]
    assert sorted(each.place for each in found) == [1, 2, 3, 4]


def test_with_two_trainings_or_few_images_every_place_is_open():
    for few in (methods([0.2, 0.5, 0.9], seeds=2), methods([0.2, 0.5, 0.9], images=40)):
        found = places(few)
        assert [each.place for each in found] == [3, 2, 1]
        assert all((each.best, each.worst) == (1, 3) for each in found)


@given(st.permutations(range(4)))
def test_the_order_of_the_methods_does_not_matter(order):
    known = methods([0.5, 0.8, 0.79, 0.3])
    expected = places(known)
    assert places([known[index] for index in order]) == [expected[index] for index in order]


def test_alike_methods_rarely_lose_their_place():
    """On nulls at most 5 % of the boards may tell anybody apart; here 300 boards of four alike methods."""
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(300):
        shared = rng.normal(0, 0.05, 100)
        below = np.full((4, 100), 20.0)
        values = [0.6 + shared + rng.normal(0, 0.01, (4, 1)) + rng.normal(0, 0.03, (4, 100)) for _ in range(4)]
        wrong += any(place.best > 1 or place.worst < 4 for place in places([(below * each, below) for each in values]))
    assert wrong <= 0.05 * 300 + 3 * (300 * 0.05 * 0.95) ** 0.5


def finished(name, quality=1.0, **changes):
    """A study of the usual evaluation, whose overlaps are multiplied by a quality."""
    plain = evaluation()
    runs = []
    for run in plain.runs:
        counts = {
            rule: {
                key: [round(quality * value) for value in column] if key == "intersection" else list(column)
                for key, column in columns.items()
            }
            for rule, columns in run.counts.items()
        }
        runs.append(replace(run, counts=counts))
    found = replace(plain, runs=runs, **changes)
    cost = RunCost(1000, 2_000_000, 3.5, 64, 1, "A processor", 36.0, {}, "abc")
    winner = next(run for run in runs if run.variant == WINNER)
    best = Best(winner.key, 0.5, winner.model, None)
    costs = Costs({run.key: cost for run in runs}, {"datransnet": 7200.0}, {})
    return Finished(name, found, costs, Searches({"datransnet": Tuned(best, [], ["iou"], {}, [])}))


def test_networks_of_one_name_are_told_apart_by_their_study():
    (board,) = boards([finished("narrow"), finished("wide", 0.5)])
    assert [entry.title for entry in board.entries] == ["DATransNet (narrow)", "DATransNet (wide)"]
    assert [entry.place.place for entry in board.entries] == [1, 2]
    (table,) = leaderboard_tables([board])
    assert table.rows[0]["parameters"] == "1,000"
    assert table.rows[0]["training (h)"] == "0.01"
    assert "A processor" in table.note


def test_other_datasets_are_other_boards_and_one_table_has_them_all():
    here = finished("here")
    elsewhere = finished("there", dataset=replace(here.evaluation.dataset, name="Elsewhere"))
    found = boards([here, elsewhere])
    assert len(found) == 2
    across = leaderboard_tables(found)[0]
    assert across.name == "leaderboard"
    assert len(across.rows) == 1
    assert sum("IoU" in column for column in across.rows[0]) == 2


def test_peers_are_lines_without_cost():
    plain = finished("study").evaluation
    run = plain.runs[0]
    peer = ScoredPeer("peer-Theirs", "Theirs", run.counts, {}, run.hierarchical, run.areas, run.calibration)
    (board,) = boards([finished("study", peers=[peer])])
    theirs = next(entry for entry in board.entries if entry.title == "Theirs")
    assert theirs.price is None
    assert (theirs.place.best, theirs.place.worst) == (1, 2)
    (table,) = leaderboard_tables([board])
    assert "" in {row["latency (ms)"] for row in table.rows}


def test_other_images_under_one_name_are_refused():
    other = finished("other")
    other = replace(other, evaluation=replace(other.evaluation, ids=["another"]))
    with pytest.raises(DataError, match="other images"):
        boards([finished("one"), other])
