"""Claims about methods keep their level, their intervals and their power, on data whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.claims import IMAGES, crossed, permute_images, simulated, truth
from pipeline.reporting.claims import LEAST_TRAININGS, Spread, difference, mean_spread, per_image, spread_of
from pipeline.reporting.power import POWER, least_difference, power, resolution, seeds_needed
from pipeline.reporting.statistics import LEAST_IMAGES
from tests.conftest import ROOT


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(2, 40))
def test_values_of_images_have_the_ratio_as_their_mean(seed, seeds, images):
    rng = np.random.default_rng(seed)
    below = rng.uniform(1, 50, (seeds, images))
    above = below * rng.random((seeds, images))
    assert per_image(above, below).mean(axis=1) == pytest.approx(above.sum(axis=1) / below.sum(axis=1))


def test_of_equal_weights_they_are_the_images_own():
    values = np.random.default_rng(0).random((3, 20))
    assert per_image(7 * values, np.full((3, 20), 7.0)) == pytest.approx(values)


def test_intervals_hold_the_true_difference_and_power_is_as_predicted():
    for seeds, of_seeds in ((3, 1.0), (5, 0.25), (10, 4.0)):
        rng, change = np.random.default_rng([seeds, 3]), 3 * math.sqrt(1e-4 * (1 + of_seeds / seeds))
        found = [difference(*simulated(change, seeds, of_seeds, rng)) for _ in range(1500)]
        covered = np.mean([each.low <= change <= each.high for each in found])
        assert 0.93 <= covered <= 0.97, (seeds, of_seeds)
        told = np.mean([each.p <= 0.05 for each in found])
        assert told == pytest.approx(power(change, truth(of_seeds), seeds, IMAGES), abs=0.03), (seeds, of_seeds)


def test_alike_methods_are_told_apart_as_rarely_as_promised():
    rng = np.random.default_rng(9)
    found = [difference(*simulated(0.0, LEAST_TRAININGS, 1.0, rng)).p <= 0.05 for _ in range(1500)]
    assert np.mean(found) <= 0.06


@pytest.fixture(scope="module")
def trainings():
    """24 trainings of the default study's network from other seeds: intersection and union of 96 test images."""
    with np.load(ROOT / "tests/golden/trainings.npz") as archive:
        return archive["intersection"].astype(float), archive["union"].astype(float)


def told_apart(trainings, test, seeds, draws):
    """Share of draws in which a test at 5 % tells two random halves of alike trainings apart."""
    rng, wrong = np.random.default_rng(seeds), 0
    for _ in range(draws):
        order = rng.permutation(len(trainings[0]))[: 2 * seeds]
        first, second = ((trainings[0][rows], trainings[1][rows]) for rows in (order[:seeds], order[seeds:]))
        wrong += test(first, second, rng) <= 0.05
    return wrong / draws


@pytest.mark.parametrize("seeds", [LEAST_TRAININGS, 4, 5, 8])
def test_real_trainings_that_are_alike_are_told_apart_as_rarely_as_promised(trainings, seeds):
    assert told_apart(trainings, crossed, seeds, 1000) <= 0.06


def test_a_test_over_images_alone_tells_them_apart_in_a_third_of_all_cases(trainings):
    assert told_apart(trainings, permute_images, 3, 200) > 0.2


def test_the_spread_is_found_where_it_comes_from():
    rng = np.random.default_rng(2)
    spreads = [spread_of(*(per_image(*each) for each in simulated(0.01, 4, 4.0, rng))) for _ in range(400)]
    mean, true = mean_spread(spreads), truth(4.0)
    assert mean.first == pytest.approx(true.first, rel=0.1)
    assert mean.images == pytest.approx(true.images, rel=0.15)


def test_a_difference_turned_round_is_its_negative():
    first, second = simulated(0.02, 4, 1.0, np.random.default_rng(4))
    there, back = difference(first, second), difference(second, first)
    assert (there.change, there.low, there.high) == pytest.approx((-back.change, -back.high, -back.low))
    assert there.p == pytest.approx(back.p)
    assert there.low < there.change < there.high


def test_methods_may_have_different_numbers_of_trainings():
    first, second = simulated(0.02, 6, 1.0, np.random.default_rng(5))
    fewer = second[0][:3], second[1][:3]
    found = difference(first, fewer)
    assert found.seeds == 3
    assert found.high - found.low > difference(first, second).high - difference(first, second).low


def test_too_little_data_makes_no_claim():
    first, second = simulated(0.3, LEAST_TRAININGS - 1, 1.0, np.random.default_rng(6))
    found = difference(first, second)
    assert found.change > 0.2
    assert np.isnan([found.low, found.high, found.p]).all()
    many = simulated(0.3, 5, 1.0, np.random.default_rng(6))
    few = [(above[:, : LEAST_IMAGES - 1], below[:, : LEAST_IMAGES - 1]) for above, below in many]
    assert math.isnan(difference(*few).p)


def test_what_never_varies_is_certain():
    areas = np.full((3, 90), 10.0)
    same, other = difference((areas / 2, areas), (areas / 2, areas)), difference((areas / 2, areas), (areas / 4, areas))
    assert (same.p, same.low, same.high) == (1.0, 0.0, 0.0)
    assert (other.p, other.change) == (0.0, -0.25)


def test_the_least_difference_has_the_promised_power():
    spread = Spread(4e-4, 1e-4, 5e-5)
    for tests in (1, 5):
        found = [least_difference(spread, seeds, 96, tests) for seeds in (3, 5, 10, 30)]
        assert found == sorted(found, reverse=True)
        assert power(found[1], spread, 5, 96, tests) == pytest.approx(POWER, abs=1e-6)
        assert found[-1] > resolution(spread, 96)
    assert math.isnan(least_difference(spread, LEAST_TRAININGS - 1, 96))
    assert least_difference(Spread(0.0, 0.0, 0.0), 3, 96) == 0


def test_the_number_of_trainings_that_a_difference_needs_is_the_first_that_suffices():
    spread = Spread(1e-4, 1e-4, 1e-5)
    needed = seeds_needed(0.02, spread, 96, range(100))
    assert power(0.02, spread, needed, 96) >= POWER > power(0.02, spread, needed - 1, 96)
    assert seeds_needed(0.001, spread, 96, range(100)) is None  # images alone hide it


def test_resolution_counts_training_where_it_was_done_once():
    spread = Spread(1e-4, 1e-4, 1e-4)
    assert resolution(spread, 200, seeds=1) == pytest.approx(math.sqrt(3) * resolution(spread, 200))
