"""Places with what is left open, and studies joined into boards."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datransnet.errors import DataError
from pipeline.reporting.board import Finished, boards
from pipeline.reporting.leaderboard import leaderboard_tables
from pipeline.reporting.ranking import places
from pipeline.reporting.table import Table
from pipeline.reporting.verdict import verdict
from pipeline.scoring.costs import Costs, MethodCost, RunCost
from pipeline.scoring.evaluation import ScoredPeer
from pipeline.study.handover import Best, Searches, TrialResult, Tuned
from pipeline.study.params import WINNER
from pipeline.study.status import Status
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


def finished(name, quality=1.0, best_trial=0.5, trials=2, **changes):
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
    best = Best(winner.key, best_trial, winner.model, None)
    costs = Costs({run.key: cost for run in runs}, {"datransnet": 7200.0}, {})
    tried = [
        TrialResult(n, f"{n}", [f"{n}"], Status.DONE, "", 1, best_trial, {}, {}, [best_trial]) for n in range(trials)
    ]
    return Finished(name, found, costs, Searches({"datransnet": Tuned(best, tried, ["iou"], {}, [])}))


def test_networks_of_one_name_are_told_apart_by_their_study():
    (board,) = boards([finished("narrow"), finished("wide", 0.5)])
    assert [entry.title for entry in board.entries] == ["DATransNet (narrow)", "DATransNet (wide)"]
    assert [entry.place.place for entry in board.entries] == [1, 2]
    table, _ = leaderboard_tables([board])
    assert table.rows[0]["parameters"] == "1,000"
    assert table.rows[0]["training (h)"] == "0.01"
    assert "A processor" in table.note


@pytest.mark.parametrize(("best_trial", "trials", "told"), [(0.5, 2, False), (0.0, 2, True), (0.0, 1, False)])
def test_a_line_whose_search_found_nothing_says_so(best_trial, trials, told):
    (board,) = boards([finished("study", best_trial=best_trial, trials=trials)])
    table, _ = leaderboard_tables([board])
    assert ("Searched in vain: DATransNet" in table.note) == told


def test_other_datasets_are_other_boards_and_one_table_has_them_all():
    here = finished("here")
    elsewhere = finished("there", dataset=replace(here.evaluation.dataset, name="Elsewhere"))
    found = boards([here, elsewhere])
    assert len(found) == 2
    across = leaderboard_tables(found)[0]
    assert across.name == "leaderboard"
    assert len(across.rows) == 1
    for what in ("IoU (%), ", "place, ", "latency (ms), "):
        assert sum(column.startswith(what) for column in across.rows[0]) == 2
    assert across.rows[0]["latency (ms), Elsewhere " + here.evaluation.dataset.split] == "3.5"


def test_peers_are_lines_without_cost():
    plain = finished("study").evaluation
    run = plain.runs[0]
    peer = ScoredPeer("peer-Theirs", "Theirs", run.counts, {}, run.hierarchical, run.areas, run.calibration)
    (board,) = boards([finished("study", peers=[peer])])
    theirs = next(entry for entry in board.entries if entry.title == "Theirs")
    assert theirs.price is None
    assert (theirs.place.best, theirs.place.worst) == (1, 2)
    table, _ = leaderboard_tables([board])
    assert "" in {row["latency (ms)"] for row in table.rows}


def several(*qualities, latencies):
    """One study of some networks, each a copy of the usual one of another quality and latency."""
    first, *others = (finished("study", quality) for quality in qualities)
    named = {"datransnet": first, **{f"other_{number}": other for number, other in enumerate(others)}}
    runs, costs, tuned = [], {}, {}
    for (name, study), latency in zip(named.items(), latencies, strict=True):
        tuned[name] = study.searches.subject
        for run in study.evaluation.runs:
            variant = name if (run.variant, name != "datransnet") == (WINNER, True) else run.variant
            if run.variant != WINNER and name != "datransnet":
                continue
            runs.append(replace(run, key=f"{name}-{run.key}", network=name, variant=variant))
            costs[runs[-1].key] = replace(study.costs.runs[run.key], latency=latency)
    found = Costs(costs, dict.fromkeys(named, 60.0), {"tophat": MethodCost(1.0, 64, 1, "A processor")})
    return Finished("study", replace(first.evaluation, runs=runs), found, Searches(tuned))


def test_networks_of_one_study_are_told_apart_by_their_name_and_the_page_says_which_to_take():
    (board,) = boards([several(1.0, 0.5, 0.9, latencies=(50.0, 5.0, 20.0))])
    assert [entry.title for entry in board.entries] == [
        f"DATransNet ({n})" for n in ("datransnet", "other_1", "other_0")
    ]
    _, choice = leaderboard_tables([board])
    assert [(row["images a second"], row["take"]) for row in choice.rows] == [
        *((rate, "DATransNet (datransnet)") for rate in ("1", "3", "10")),
        ("30", "DATransNet (other_1)"),
        ("100", "DATransNet (other_0)"),
    ]
    assert "DATransNet (other_1)" in choice.rows[0]["not surely worse"]  # two trainings tell nothing


def test_a_method_without_training_has_its_place_although_it_was_run_once():
    study = several(1.0, 0.95, latencies=(50.0, 5.0))
    run = study.evaluation.runs[0]
    poor = {
        rule: {key: [0] * 90 if key == "intersection" else column for key, column in columns.items()}
        for rule, columns in run.counts.items()
    }
    method, stranger = (
        ScoredPeer(f"peer-{name}", name, poor, {}, run.hierarchical, run.areas, run.calibration)
        for name in ("tophat", "Theirs")
    )
    runs = [replace(each, key=f"{each.key}{n}", seed_number=n) for each in study.evaluation.runs for n in (1, 2, 3)]
    costs = replace(study.costs, runs={each.key: study.costs.runs[run.key] for each in runs})
    evaluation = replace(study.evaluation, runs=runs, peers=[method, stranger])
    (board,) = boards([replace(study, evaluation=evaluation, costs=costs)])
    by_name = {entry.name: entry for entry in board.entries}
    assert "tophat" in by_name["datransnet"].before
    assert "Theirs" not in by_name["datransnet"].before
    sentence = verdict(evaluation, Table("ablation", "", "", [], []), board)[0]
    assert re.search(r"DATransNet \(datransnet\) before [^;]*tophat", sentence)
    assert "Theirs" not in sentence


def test_other_images_under_one_name_are_refused():
    other = finished("other")
    other = replace(other, evaluation=replace(other.evaluation, ids=["another"]))
    with pytest.raises(DataError, match="other images"):
        boards([finished("one"), other])
