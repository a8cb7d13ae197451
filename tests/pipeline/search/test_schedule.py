"""Who trains how far next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.search.schedule import Leg, Schedule, Standing, rungs_of
from pipeline.study.search_space import Tune

SPACE = {"recipe.lr": {"low": 0.1, "high": 0.2}}


def trained(schedule, worths):
    """Run a schedule to its end; each trial is worth the same at every rung."""
    standings, asked = [], []
    while legs := schedule.legs(standings):
        asked.append(legs)
        for leg in legs:
            if leg.trial == len(standings):
                standings.append(Standing({}, leg.rung))
            standings[leg.trial].sent = leg.rung
            standings[leg.trial].values = [worths[leg.trial]] * (leg.rung + 1)
    return standings, asked


WORTHS = [0.1, 0.9, 0.2, 0.3, 0.8, 0.4, 0.5, 0.6, 0.7]


def test_halving_begins_a_bracket_round_by_round_and_then_sends_on_one_in_so_many():
    standings, asked = trained(Schedule("halving", (1, 3, 9), 3, 9, 9, 4), WORTHS)
    assert asked == [
        [Leg(number, 0) for number in (0, 1, 2, 3)],
        [Leg(number, 0) for number in (4, 5, 6, 7)],
        [Leg(8, 0)],
        [Leg(1, 1), Leg(4, 1), Leg(8, 1)],
        [Leg(1, 2)],
    ]
    assert [standing.sent for standing in standings] == [0, 2, 0, 0, 1, 0, 0, 0, 1]


def test_while_the_best_of_a_bracket_go_on_the_next_begins():
    _, asked = trained(Schedule("halving", (1, 3), 3, 9, 4, 3), WORTHS)
    assert asked == [
        [Leg(number, 0) for number in (0, 1, 2)],
        [Leg(3, 0)],  # a round ends with its bracket
        [Leg(1, 1), *(Leg(number, 0) for number in (4, 5, 6))],
        [Leg(7, 0)],
        [Leg(4, 1), Leg(8, 0)],
        [Leg(8, 1)],
    ]


@given(
    st.sampled_from(["halving", "hyperband", "asha", "median", "none"]),
    st.integers(1, 3),
    st.sampled_from([2.0, 3.0, 4.5]),
    st.integers(1, 9),
    st.integers(1, 5),
    st.lists(st.floats(0, 1), min_size=1, max_size=30),
)
def test_every_trial_begins_once_climbs_rung_by_rung_and_one_reaches_the_top(
    kind, rungs, reduction, bracket, size, worths
):
    epochs = tuple(range(1, rungs + 1)) if kind != "none" else (3,)
    schedule = Schedule(kind, epochs, reduction, len(worths), bracket, size)
    standings, asked = trained(schedule, worths)
    assert len(standings) == len(worths)
    for number in range(len(worths)):
        climbed = [leg.rung for legs in asked for leg in legs if leg.trial == number]
        assert climbed == list(range(climbed[0], climbed[-1] + 1))
        assert climbed[0] == 0 or kind == "hyperband"
    assert max(standing.sent for standing in standings) == schedule.top


@given(st.lists(st.floats(0, 1), min_size=6, max_size=30, unique=True))
def test_the_best_of_all_reaches_the_top_under_halving(worths):
    standings, _ = trained(Schedule("halving", (1, 2, 4), 2, len(worths), 5, 4), worths)
    assert standings[worths.index(max(worths))].sent == 2


def test_hyperband_begins_trials_at_every_rung_in_shares():
    schedule = Schedule("hyperband", (1, 3, 9), 3, 26, 26, 26)
    first = [leg.rung for leg in schedule.legs([])]
    assert [first.count(rung) for rung in range(3)] == [18, 6, 2]
    assert [leg.rung for leg in Schedule("hyperband", (1, 3, 9), 3, 26, 26, 4).legs([])] == first[:4]


def test_rounds_wait_and_what_does_not_wait_goes_on():
    under_way = [Standing({}, 0, [0.5]), Standing({}, 0)]
    asha = Schedule("asha", (1, 2), 2, 4, 4, 4)
    assert asha.legs(under_way) == [Leg(2, 0)]
    assert asha.legs([*under_way, Standing({}, 0, [0.4])]) == [Leg(0, 1)]
    assert not asha.waits
    assert Schedule("halving", (1, 2), 2, 4, 4, 4).waits


def test_the_median_rule_stops_who_is_below_the_others():
    median = Schedule("median", (1, 2, 3), 3, 5, 1, 1)
    known = [Standing({}, 2, [worth] * 3) for worth in (0.3, 0.4, 0.5)]
    assert median.legs([*known, Standing({}, 0, [0.45])]) == [Leg(3, 1)]
    assert median.legs([*known, Standing({}, 0, [0.1])]) == [Leg(4, 0)]
    assert median.legs([*known[:2], Standing({}, 0, [0.1])]) == [Leg(2, 1)]  # two others say too little


def test_a_trial_that_is_out_goes_nowhere():
    schedule = Schedule("halving", (1, 2), 2, 2, 2, 2)
    assert schedule.legs([Standing({}, 0, [0.9], out=True), Standing({}, 0, [0.1])]) == [Leg(1, 1)]
    assert schedule.legs([Standing({}, 0, out=True), Standing({}, 0, out=True)]) == []


@pytest.mark.parametrize(
    ("changes", "looks", "rungs"),
    [
        ({"epochs": 27, "grace": 1, "reduction": 3}, 1, (1, 3, 9, 27)),
        ({"epochs": 20}, 1, (4, 20)),
        ({"epochs": 8, "grace": 8}, 4, (8,)),
        ({"epochs": 10, "grace": 1, "reduction": 1.5}, 1, (1, 2, 4, 6, 10)),
        ({"epochs": 6, "grace": 1}, 4, (4, 6)),
        ({"epochs": 5, "grace": 2, "scheduler": "median"}, 1, (2, 3, 4, 5)),
        ({"epochs": 5, "scheduler": "none"}, 1, (5,)),
    ],
)
def test_rungs_lie_where_the_validation_part_is_looked_at(changes, looks, rungs):
    assert rungs_of(Tune(trials=9, space=SPACE, **changes), looks) == rungs
