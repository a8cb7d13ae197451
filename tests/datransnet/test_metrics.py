"""Metrics against the released implementations, plain references, and their own invariants."""

import json
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from datransnet.components import components
from datransnet.errors import DataError, ParameterError
from datransnet.metrics import CONVENTIONS, roc, score
from datransnet.metrics.matching import match


@pytest.fixture(scope="module")
def golden(golden_metrics):
    expected = json.loads((golden_metrics / "metrics.json").read_text(encoding="utf-8"))
    stored = np.load(golden_metrics / "metrics.npz")
    pairs = [
        ((stored[f"pred/{id_}"] / np.float32(255)).astype(np.float32), stored[f"mask/{id_}"])
        for id_ in expected["images"]
    ]
    return expected, pairs


def test_pixel_metrics_match_the_released_code(golden):
    expected, pairs = golden
    found = score(pairs)
    assert found.iou == pytest.approx(expected["pixel"]["IoU"], abs=1e-9)
    assert found.niou == pytest.approx(expected["pixel"]["nIoU"], abs=1e-9)
    assert found.f1 == pytest.approx(expected["pixel"]["F1_at_half"], abs=1e-9)
    # The released pixAcc is a float32 quotient; ours rounds to the same float32.
    assert np.float32(found.pixel_acc) == pytest.approx(expected["pixel"]["pixAcc"], abs=1e-9)


@pytest.mark.parametrize("convention", ["basicirstd", "sctransnet", "datransnet"])
def test_target_metrics_match_the_released_code(golden, convention):
    expected, pairs = golden
    found = score(pairs, convention)
    assert found.pd == pytest.approx(expected[convention]["Pd"], abs=1e-9)
    assert found.fa == pytest.approx(expected[convention]["Fa"], abs=1e-9)


def test_datransnet_counts_match_the_released_code(golden):
    expected, pairs = golden
    found, release = score(pairs, "datransnet"), expected["datransnet"]
    assert (found.n_targets, found.n_detected) == (release["targets"], release["detected"])
    for ours, theirs in ((found.precision, "precision"), (found.recall, "recall"), (found.f1, "F1")):
        assert ours == pytest.approx(release[theirs], abs=1e-9)


def test_curves_match_the_released_code(golden):
    expected, pairs = golden
    curves = roc(pairs)
    assert curves.pixel.area == pytest.approx(expected["pixel"]["pixel_auc"], abs=1e-6)
    assert curves.target.area == pytest.approx(expected["datransnet"]["roc_auc"], abs=1e-6)
    assert np.abs(curves.target.x[::-1] - expected["datransnet"]["roc_fpr"]).max() < 1e-9
    assert np.abs(curves.target.y[::-1] - expected["datransnet"]["roc_tpr"]).max() < 1e-9


def maps(values: st.SearchStrategy[float]):
    return st.tuples(arrays(np.float64, (9, 11), elements=values), arrays(bool, (9, 11)))


tenths = st.integers(0, 10).map(lambda n: n / 10)
levels = st.sampled_from([0.0, 0.2, 0.5, 0.50001, 0.8, 1.0])


@settings(max_examples=60)
@given(st.lists(maps(levels), min_size=1, max_size=5), st.sampled_from(sorted(CONVENTIONS)))
def test_the_order_of_images_does_not_matter(pairs, convention):
    forth, back = (astuple(score(order, convention)) for order in (pairs, pairs[::-1]))
    assert forth == pytest.approx(back, nan_ok=True)


@settings(max_examples=60)
@given(maps(levels), st.sampled_from(sorted(CONVENTIONS)))
def test_a_translated_pair_scores_the_same(pair, convention):
    first, second = (
        [tuple(np.pad(item, ((top, 7 - top), (left, 7 - left))) for item in pair)] for top, left in ((1, 2), (5, 6))
    )
    assert astuple(score(first, convention)) == pytest.approx(astuple(score(second, convention)), nan_ok=True)


@settings(max_examples=60)
@given(st.lists(maps(levels), min_size=1, max_size=4))
def test_pixel_curves_are_monotone_and_end_at_one(pairs):
    curve = roc(pairs).pixel
    if not np.isnan(curve.area):
        assert (np.diff(curve.x) >= 0).all()
        assert (np.diff(curve.y) >= 0).all()
        assert (curve.x[-1], curve.y[-1]) == (1, 1)


@settings(max_examples=100)
@given(maps(tenths))
def test_the_pixel_auc_is_the_probability_of_the_right_order(pair):
    scores, mask = pair
    if mask.any() and not mask.all():
        above, below = scores[mask][:, None], scores[~mask][None]
        expected = ((above > below) + 0.5 * (above == below)).mean()
        assert roc([pair]).pixel.area == pytest.approx(expected, abs=1e-12)


@settings(max_examples=100)
@given(arrays(bool, (8, 8)))
def test_components_are_eight_connected_and_in_raster_order(binary):
    found = components(binary)
    seen = np.zeros_like(binary)
    expected = []
    for start in zip(*np.nonzero(binary), strict=True):
        if not seen[start]:
            pixels, pending = [], [start]
            seen[start] = True
            while pending:
                row, column = pending.pop()
                pixels.append((row, column))
                for r in range(max(0, row - 1), min(8, row + 2)):
                    for c in range(max(0, column - 1), min(8, column + 2)):
                        if binary[r, c] and not seen[r, c]:
                            seen[r, c] = True
                            pending.append((r, c))
            expected.append((len(pixels), *np.mean(pixels, axis=0)))
    assert np.allclose([(area, *at) for area, at in zip(found.areas, found.centroids, strict=True)], expected)


def test_a_target_takes_the_first_near_component_not_the_nearest():
    target = np.zeros((9, 9), dtype=bool)
    target[4, 4] = True
    found = np.zeros((9, 9), dtype=bool)
    found[2, 4] = found[4, 4] = True
    assert match(components(target), components(found)).tolist() == [0]


def test_three_pixels_away_is_no_detection():
    target, found = np.zeros((2, 9, 9), dtype=bool)
    target[4, 1] = found[4, 4] = True
    assert match(components(target), components(found)).tolist() == [-1]


def test_images_without_a_target_count_in_fa_only():
    empty, mask = np.zeros((8, 8)), np.zeros((8, 8))
    mask[2:4, 2:4] = 1
    alarm = empty.copy()
    alarm[6, 6] = 1
    found = score([(mask, mask), (alarm, empty)])
    assert (found.niou, found.pd, found.n_empty) == (1.0, 1.0, 1)
    assert found.fa == 1 / 128


def test_nothing_at_all_is_undefined_not_zero():
    found = score([(np.zeros((4, 4)), np.zeros((4, 4)))])
    assert np.isnan([found.iou, found.niou, found.pd, found.precision]).all()
    assert found.fa == 0


@pytest.mark.parametrize(
    ("scores", "mask"),
    [
        (np.full((4, 4), np.nan), np.zeros((4, 4))),
        (np.full((4, 4), 1.5), np.zeros((4, 4))),
        (np.full((4, 4), -0.1), np.zeros((4, 4))),
        (np.zeros((4, 4)), np.zeros((4, 5))),
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 4))),
    ],
)
def test_what_cannot_be_scored_is_an_error(scores, mask):
    with pytest.raises(DataError):
        score([(scores, mask)])
    with pytest.raises(DataError):
        roc([(scores, mask)])


def test_an_unknown_convention_gets_a_suggestion():
    with pytest.raises(ParameterError, match="Did you mean 'basicirstd'"):
        score([], convention="basic_irstd")
