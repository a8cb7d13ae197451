"""Conventions that differ in more than Pd and Fa, against their definitions written out image by image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from datransnet.components import EIGHT, components
from datransnet.metrics import CONVENTIONS, evaluate, logit_thresholds, score, summarise


def random_images(seed, number=4):
    """Pairs of scores and masks as shares of white; among them images without target, and maps of nothing."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(number):
        shape = rng.integers(3, 24, size=2)
        mask = (rng.random(shape) < rng.choice([0, 0.05, 0.3])) * rng.choice([1, 1, 0.6], size=shape)
        scores = np.round(rng.random(shape) ** 2 * rng.choice([0, 0.4, 1], p=[0.1, 0.3, 0.6]), 2)
        pairs.append((scores, mask.astype(np.float32)))
    return pairs


def above_half_of_maximum(scores):
    return scores > 0.5 * scores.max() if scores.any() else np.zeros(scores.shape, dtype=bool)


@given(st.integers(0, 2**32))
def test_rpcanet_is_counted_by_pixels_on_images_with_targets(seed):
    pairs = random_images(seed)
    hit = false = background = targets = intersection = union = labelled = predicted = 0
    for scores, mask in pairs:
        labels, number = ndimage.label(mask > 0, EIGHT)
        if not number:
            continue
        binary = above_half_of_maximum(scores)
        hit += sum(bool(binary[labels == target].any()) for target in range(1, number + 1))
        targets += number
        false += int((binary & (labels == 0)).sum())
        background += int((labels == 0).sum())
        intersection += int((binary & (labels > 0)).sum())
        union += int((binary | (labels > 0)).sum())
        labelled += int((labels > 0).sum())
        predicted += int(binary.sum())
    found = score(pairs, "rpcanet")
    expected = {
        "iou": (intersection, union),
        "f1": (2 * intersection, predicted + labelled),
        "pd": (hit, targets),
        "fa": (false, background),
    }
    for name, (above, below) in expected.items():
        assert getattr(found, name) == pytest.approx(above / below if below else np.nan, nan_ok=True), name


@given(st.integers(0, 2**32))
def test_drpcanet_is_the_releases_rule_with_an_iou_of_scaled_scores(seed):
    pairs = random_images(seed)
    ours, release = score(pairs, "drpcanet"), score(pairs, "datransnet")
    for name in ("pd", "fa", "precision", "recall", "f1"):
        assert getattr(ours, name) == pytest.approx(getattr(release, name), nan_ok=True)
    binaries = [(above_half_of_maximum(scores), mask > 0) for scores, mask in pairs]
    union = sum(int((binary | truth).sum()) for binary, truth in binaries)
    intersection = sum(int((binary & truth).sum()) for binary, truth in binaries)
    assert ours.iou == pytest.approx(intersection / union if union else np.nan, nan_ok=True)


@given(st.integers(0, 2**32))
def test_grey_pixels_never_match_and_stand_in_the_union_twice_where_predicted(seed):
    pairs = random_images(seed)
    intersection = union = 0
    for scores, mask in pairs:
        binary = scores > 0.5
        intersection += int((binary & (mask == 1)).sum())
        union += int(binary.sum()) + int((mask > 0).sum()) - int((binary & (mask == 1)).sum())
    assert score(pairs, "lesps").iou == pytest.approx(intersection / union if union else np.nan, nan_ok=True)
    white = [(scores, mask > 0) for scores, mask in pairs]
    for name in ("pd", "fa", "precision"):
        expected = getattr(score(white, "sctransnet"), name)
        assert getattr(score(pairs, "lesps"), name) == pytest.approx(expected, nan_ok=True)
    assert str(score(white, "lesps")) == str(score(white, "sctransnet"))  # text: NaN is not equal to itself


def test_a_mask_of_0_and_255_is_white_in_any_type():
    mask = np.zeros((6, 6))
    mask[2:4, 2:4] = 255
    for kind in (np.float32, np.float64, np.uint8):
        assert score([(mask / 255, mask.astype(kind))], "lesps").iou == 1


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_curves_of_every_convention_are_its_counts_at_each_threshold(seed):
    pairs, thresholds = random_images(seed), logit_thresholds(21)
    curves = evaluate(pairs, list(CONVENTIONS), thresholds).curves.pd_fa
    for place in range(0, 21, 4):
        at = evaluate(pairs, list(CONVENTIONS), thresholds, threshold=float(thresholds[place])).counts
        for name, columns in at.items():
            found = summarise(columns)
            assert curves[name].y[::-1][place] == pytest.approx(found.pd, nan_ok=True)
            assert curves[name].x[::-1][place] == pytest.approx(found.fa, nan_ok=True)


@given(st.integers(0, 2**32))
def test_components_are_those_of_the_whole_image(seed):
    rng = np.random.default_rng(seed)
    binary = rng.random(rng.integers(1, 30, size=2)) < rng.choice([0, 0.02, 0.3, 1])
    labels, number = ndimage.label(binary, EIGHT)
    found = components(binary)
    assert np.array_equal(found.labels, labels)
    assert found.areas.tolist() == [int((labels == index).sum()) for index in range(1, number + 1)]
    for index in range(number):
        rows, columns = np.nonzero(labels == index + 1)
        assert found.centroids[index].tolist() == [rows.sum() / len(rows), columns.sum() / len(columns)]
