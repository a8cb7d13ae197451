"""Intervals, tests and their silence; that they keep their promises is measured by `benchmarks.coverage`."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datransnet.metrics import COUNT_FIELDS, ratios
from pipeline.reporting.statistics import LEAST_IMAGES, LEAST_SEEDS, compare_networks, estimates, holm, over_seeds


def counts(images, quality=0.7, seed=0):
    """Counts of a model; another quality on the same seed sees the same images."""
    images_rng, rng = np.random.default_rng(seed), np.random.default_rng([seed, int(1000 * quality)])
    targets = images_rng.integers(0, 3, images)
    labelled = targets * images_rng.integers(4, 30, images)
    hit, false = rng.binomial(labelled, quality), rng.poisson(1, images)
    found = dict.fromkeys(COUNT_FIELDS, np.zeros(images, dtype=int))
    found |= {"intersection": hit, "union": labelled + false, "labelled": labelled, "true_positive": hit}
    found |= {"targets": targets, "detected": rng.binomial(targets, quality), "false_alarm": false}
    return found | {"false_positive": false, "pixels": np.full(images, 4096)}


def test_an_interval_holds_its_value_and_shrinks_with_images():
    widths = []
    for images in (LEAST_IMAGES, 12 * LEAST_IMAGES):
        for name, found in estimates([counts(images), counts(images, 0.6)], ["iou", "niou", "f1", "pd", "fa"]).items():
            assert found.low < found.mean < found.high, name
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 3


def test_too_few_images_make_no_claim():
    few = [counts(LEAST_IMAGES - 1)]
    assert math.isnan(estimates(few, ["iou"])["iou"].low)
    compared = compare_networks(few, [counts(LEAST_IMAGES - 1, 0.3)], "iou")
    assert compared.change < -0.2
    assert np.isnan([compared.low, compared.high, compared.p]).all()


def test_too_few_seeds_make_no_claim():
    assert math.isnan(over_seeds([0.5] * (LEAST_SEEDS - 1))[1])
    assert over_seeds([0.5, 0.6, 0.7])[1] == pytest.approx(0.1 / math.sqrt(3) * 4.302653, rel=1e-6)


def test_what_never_varies_has_no_interval():
    sure = counts(100)
    sure["detected"] = sure["targets"]
    found = estimates([sure], ["pd"])["pd"]
    assert found.mean == 1
    assert math.isnan(found.low)


def test_a_model_is_like_itself_and_unlike_a_worse_one():
    good, bad = [counts(100, 0.7), counts(100, 0.72)], [counts(100, 0.4), counts(100, 0.42)]
    same, worse, better = (
        compare_networks(good, good, "iou"),
        compare_networks(good, bad, "iou"),
        compare_networks(bad, good, "iou"),
    )
    assert (same.change, same.p) == (0, 1)
    assert worse.p < 0.01
    assert worse.high < 0
    assert better.change == -worse.change
    assert better.p == pytest.approx(worse.p, abs=0.01)


def test_a_paired_interval_is_narrower_than_one_of_its_models():
    images = counts(200)
    other = {name: column.copy() for name, column in images.items()}
    place = np.flatnonzero(images["labelled"])[0]
    other["intersection"][place] = 0  # one image fails
    paired, alone = compare_networks([images], [other], "iou"), estimates([images], ["iou"])["iou"]
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_the_change_is_that_of_the_metric():
    one, other = counts(80), counts(80, 0.5)
    assert compare_networks([one], [other], "niou").change == pytest.approx(ratios(other)["niou"] - ratios(one)["niou"])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_only_raises_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    assert all(p <= c <= min(1, p * len(p_values)) + 1e-12 for p, c in zip(p_values, corrected, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()


def test_holm_ignores_what_was_not_tested():
    assert holm([0.02, math.nan])[0] == 0.02
