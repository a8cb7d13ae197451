"""The tuning curve: equal to opda's, and its band holds as often as it says."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reporting.tuning_curve import tuning_curve

GOLDEN = Path(__file__).parents[2] / "golden" / "tuning-curve.json"


@pytest.mark.parametrize("case", range(4))
def test_the_band_is_that_of_opda(case):
    known = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"][case]
    curve = tuning_curve(known["values"], known["numbers"])
    for name in ("low", "median", "high"):
        assert getattr(curve, name) == pytest.approx(known[name], abs=1e-9)


@pytest.mark.parametrize("size", [4, 16])
def test_the_band_holds_the_whole_curve_in_95_of_100_cases(size):
    rng = np.random.default_rng(0)
    truth = np.linspace(0, 1, 1001)[1:-1]  # the values are uniform: the median of the best of k is 0.5^(1/k)
    numbers = np.log(0.5) / np.log(truth)
    held = 0
    for _ in range(2000):
        curve = tuning_curve(rng.random(size), numbers)
        held += bool(np.all((curve.low <= truth) & (truth <= curve.high)))
    assert 0.935 <= held / 2000 <= 0.965


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.1, 100))
def test_more_trials_never_find_less(values, number):
    curve = tuning_curve(values, [number, 2 * number])
    for bound in (curve.low, curve.median, curve.high):
        assert bound[0] <= bound[1]
    assert np.all(curve.low <= curve.median)
    assert np.all(curve.median <= curve.high)
