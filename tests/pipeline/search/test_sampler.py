"""Points are complete, depend on nothing but the trials before, and are not those of random search."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial
from scipy import stats

from pipeline.search.importance import importances
from pipeline.search.sampler import START, TRUST, Sampler, leaning
from pipeline.search.schedule import Standing
from pipeline.search.space import distribution, is_complete, place_of, point_at
from pipeline.study.search_space import Choice, Interval

SPACE = {
    "model.datrans": Choice(choice=[True, False]),
    "model.dilations": Choice(choice=[[1], [1, 2]], when={"model.datrans": True}),
    "recipe.ema": Interval(low=0.5, high=0.9, when={"model.dilations": [1, 2]}),
    "recipe.lr": Interval(low=1e-3, high=1e-2, log=True),
}
LR = {"recipe.lr": SPACE["recipe.lr"]}
KINDS = ["tpe", "gp", "nsga2", "random", "qmc"]


def searched(sampler, rounds, size=4):
    """Standings after some rounds, as a training would leave them: the nearer a rate to 3e-3, the better."""
    standings = []
    for _ in range(rounds):
        for point, marks in sampler.ask(standings, size):
            worth = 1 / (1 + abs(np.log(point["recipe.lr"] / 3e-3)))
            stopped = len(standings) % 3 and sampler.rungs > 1
            values = [worth / 2] if stopped else [worth] * sampler.rungs
            standings.append(Standing(point, len(values) - 1, values, marks=marks))
    return standings


@pytest.mark.parametrize("kind", KINDS)
def test_every_sampler_draws_complete_points_and_only_what_is_active(kind):
    points = [standing.point for standing in searched(Sampler(kind, SPACE, 3, rungs=2), 4)]
    for point in points:
        assert is_complete(SPACE, point)
    assert len({json.dumps(point) for point in points}) > 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_that_was_cut_off_is_asked_for_as_it_was(kind):
    sampler = Sampler(kind, SPACE, 3, rungs=2)
    known = searched(sampler, 3)
    whole = sampler.ask(known, 4)
    first = [Standing(point, 0, marks=marks) for point, marks in sampler.ask(known, 1)]
    assert [*((each.point, each.marks) for each in first), *sampler.ask([*known, *first], 3)] == whole
    assert sampler.ask(known, 4) == whole
    assert replace(sampler, seed=4).ask(known, 4) != whole


def test_known_points_come_first_and_those_after_lean_towards_them():
    known = {"recipe.lr": 2e-3}
    sampler = Sampler("tpe", LR, 0, points=[known])
    points = [point for point, _ in sampler.ask([], START)]
    assert points[0] == known
    spread = [place_of(LR, point)["recipe.lr"] for point in points[1:]]
    assert len(set(spread)) == START - 1
    centre = place_of(LR, known)["recipe.lr"]
    uniform = [place_of(LR, point)["recipe.lr"] for point, _ in Sampler("tpe", LR, 0).ask([], START)][1:]
    assert np.abs(np.array(spread) - centre).mean() < np.abs(np.array(uniform) - centre).mean()


def test_a_point_known_in_part_is_completed():
    point, _ = Sampler("tpe", SPACE, 0, points=[{"recipe.lr": 2e-3}]).ask([], 1)[0]
    assert point["recipe.lr"] == 2e-3
    assert is_complete(SPACE, point)


@pytest.mark.parametrize("trials", [4, 6, 8])
def test_the_first_points_are_spread_more_evenly_than_random_ones(trials):
    """Discrepancy of the first points of a hundred seeds, with no prior: quasi-random, where TPE alone is random."""
    space = {f"recipe.{name}": Interval(low=0, high=1) for name in ("lr", "ema", "clip")}

    def discrepancies(kind):
        found = []
        for seed in range(100):
            points = [point for point, _ in Sampler(kind, space, seed).ask([], trials)]
            found.append(stats.qmc.discrepancy(np.array([[point[key] for key in space] for point in points])))
        return found

    assert stats.mannwhitneyu(discrepancies("tpe"), discrepancies("random"), alternative="less").pvalue < 1e-6


def test_the_search_closes_in_on_what_is_good():
    standings = searched(Sampler("tpe", LR, 1, rungs=2), 10)
    away = np.abs(np.log([each.point["recipe.lr"] / 3e-3 for each in standings]))
    assert np.median(away[-12:]) < 0.5 * np.median(away[:START])


def test_trials_of_an_earlier_search_are_learnt_from():
    earlier = [
        create_trial(params={"recipe.lr": lr}, distributions={"recipe.lr": distribution(LR["recipe.lr"])}, value=value)
        for lr, value in zip(np.geomspace(1e-3, 1e-2, 30), np.linspace(0, 1, 30), strict=True)
    ]
    told = Sampler("tpe", LR, 0, earlier=earlier)
    points = [point["recipe.lr"] for point, _ in told.ask(searched(told, 2), 8)]
    assert np.median(points) > 5e-3


def test_what_is_out_is_held_for_the_worst():
    sampler = Sampler("tpe", LR, 0, rungs=2)
    told = sampler._told(Standing({"recipe.lr": 2e-3}, 0, [0.9], out=True))
    assert (told.state, told.intermediate_values) == (TrialState.PRUNED, {})


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_a_place_that_leans_stays_in_its_range(quantile, centre):
    moved = leaning(LR["recipe.lr"], quantile, centre)
    assert 0 <= moved <= 1
    choice = leaning(SPACE["model.datrans"], quantile, min(centre, 0.99))
    assert choice in (0.25, 0.75)


def test_a_place_leans_as_the_density_says():
    quantiles = (np.arange(2000) + 0.5) / 2000
    moved = np.array([leaning(LR["recipe.lr"], quantile, 0.3) for quantile in quantiles])
    near = stats.norm.cdf(0.4, 0.3, 0.2) - stats.norm.cdf(0.2, 0.3, 0.2)
    near /= stats.norm.cdf(1, 0.3, 0.2) - stats.norm.cdf(0, 0.3, 0.2)
    assert np.mean((moved > 0.2) & (moved < 0.4)) == pytest.approx(TRUST * near + (1 - TRUST) * 0.2, abs=0.005)
    choices = [leaning(SPACE["model.datrans"], quantile, 0.75) for quantile in quantiles]
    assert np.mean(np.array(choices) == 0.75) == pytest.approx(TRUST + (1 - TRUST) / 2, abs=0.001)


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_places_and_points_are_each_others_inverse(first, second):
    place = {"model.datrans": 0.75, "recipe.lr": second}
    assert place_of(SPACE, point_at(SPACE, place)) == pytest.approx(place)
    whole = {"n": Interval(low=2, high=9, integer=True)}
    point = point_at(whole, {"n": first})
    assert point == point_at(whole, place_of(whole, point))
    assert 2 <= point["n"] <= 9


def test_importance_goes_to_what_matters():
    rng = np.random.default_rng(0)
    space = {"a": Interval(low=0, high=1), "b": Interval(low=0, high=1)}
    standings = []
    for _ in range(60):
        point = {"a": float(rng.random()), "b": float(rng.random())}
        worth = -((point["a"] - 0.3) ** 2)
        values = [worth] if worth < -0.05 else [worth + 1, worth]  # early values lie elsewhere and do not mix
        standings.append(Standing(point, len(values) - 1, values))
    assert importances(space, standings)["a"].share > 0.8
    assert importances(space, standings[:3]) == {}
    assert importances(space, [replace(each, sent=0, values=[0.0]) for each in standings]) == {}
