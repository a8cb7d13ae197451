"""A whole evaluation at once against its definitions, written out with scikit-image and scikit-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score

from benchmarks import transcription
from datransnet.errors import DataError, ParameterError
from datransnet.metrics import (
    CONVENTIONS,
    Budget,
    Curve,
    calibration,
    count,
    evaluate,
    evaluation,
    logit_thresholds,
    operating_point,
    score,
    summarise,
)
from datransnet.metrics.curves import CURVE_POINTS, thinned
from datransnet.metrics.logit_levels import to_logits, to_scores

STEPS = np.array([0.0, 0.1, 0.3, 0.5, 0.50001, 0.9, 1.0])


def random_pair(rng):
    """A small score map and mask with what is hard: ties at thresholds, touching blobs, single pixels, emptiness."""
    shape = tuple(rng.integers(1, 14, 2))
    levels = np.array([0, 0.1, 0.3, 0.5, 0.50001, 0.50002, 0.9, 1.0], dtype=np.float32)
    density = rng.choice([0, 0.05, 0.3, 0.8])
    scores = np.where(rng.random(shape) < density, rng.choice(levels, shape), np.float32(0))
    if rng.random() < 0.2:
        scores = (scores * 0.3).astype(np.float32)
    mask = rng.random(shape) < rng.choice([0, 0.02, 0.1, 0.4])
    if rng.random() < 0.3 and min(shape) > 5:
        row, column = rng.integers(0, shape[0] - 3), rng.integers(0, shape[1] - 3)
        mask[row : row + 3, column : column + 3] = True
        scores[row : row + rng.integers(1, 4), column : column + 3] = rng.choice(levels)
    return scores.astype(np.float32), mask


@pytest.mark.parametrize("block", range(10))
def test_a_thousand_random_cases_agree_with_scikit_image_and_scikit_learn(block):
    for case in range(100):
        pairs = [random_pair(np.random.default_rng([block, case, image])) for image in range(1 + case % 3)]
        found = evaluate(pairs, ["basicirstd", "sctransnet", "datransnet"], STEPS)
        curves = found.curves
        scores, masks = (np.concatenate([pair[which].ravel() for pair in pairs]) for which in (0, 1))
        levels = to_logits(scores).clip(-1e4, 1e4)  # as curves tell scores apart
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # undefined where there is no target: NaN on both sides
            if any(mask.any() for _, mask in pairs):
                expected = transcription.pd_fa_each(pairs, ["basicirstd", "sctransnet"], STEPS)
                expected |= transcription.pd_fa_each(pairs, ["datransnet"], STEPS)
                for name, (pd, fa) in expected.items():
                    assert np.allclose(curves.pd_fa[name].y[::-1], pd, atol=1e-12, equal_nan=True)
                    assert np.allclose(curves.pd_fa[name].x[::-1], fa, atol=1e-12, equal_nan=True)
                iou, niou = transcription.at_half(pairs)
                assert summarise(found.counts["basicirstd"]).iou == pytest.approx(iou, abs=1e-12)
                assert summarise(found.counts["basicirstd"]).niou == pytest.approx(niou, abs=1e-12)
                precision, recall, _ = precision_recall_curve(masks, levels)
                assert curves.precision_recall.area == pytest.approx(auc(recall, precision), abs=1e-12)
            if masks.any() and not masks.all():
                assert curves.pixel.area == pytest.approx(roc_auc_score(masks, levels), abs=1e-12)
                fpr, tpr = transcription.target_roc(pairs)
                assert np.allclose(curves.target.x[::-1], fpr, atol=1e-12)
                assert np.allclose(curves.target.y[::-1], tpr, atol=1e-12)
                assert np.array_equal(curves.target.thresholds[::-1], np.arange(101) / 100)


def share_above(truth, logits):
    """Target pixels above all background."""
    return (logits[truth] > logits[~truth].max()).mean()


def test_curves_tell_apart_what_a_sure_network_scores():
    rng = np.random.default_rng(3)
    masks = rng.random((4, 64, 64)) < 0.02
    logits = rng.normal(np.where(masks, 18, -12), 8).clip(-35, 35)
    found = evaluate(zip(expit(logits), masks, strict=True), thresholds=logit_thresholds())
    truth, pixel = masks.ravel(), found.curves.pixel
    assert pixel.area == pytest.approx(roc_auc_score(truth, logits.ravel()), abs=1e-6)
    precision, recall, _ = precision_recall_curve(truth, logits.ravel())
    assert found.curves.precision_recall.area == pytest.approx(auc(recall, precision), abs=1e-4)
    assert pixel.y[pixel.x == 0].max() == pytest.approx(share_above(truth, logits.ravel()), abs=0.01)
    curve = found.curves.pd_fa["basicirstd"]
    assert operating_point(found, "basicirstd", Budget(float(curve.x[curve.y > 0].min()))) > 1 - 1e-7


@pytest.mark.parametrize("number", [101, 1001])
def test_a_curve_is_the_count_at_each_of_its_thresholds(number):
    rng = np.random.default_rng(number)
    pairs = [(rng.random((40, 30), dtype=np.float32) ** 3, rng.random((40, 30)) < 0.01) for _ in range(2)]
    thresholds = logit_thresholds(number)
    curves = evaluate(pairs, list(CONVENTIONS), thresholds).curves
    for name, rule in CONVENTIONS.items():
        for place in range(0, number, number // 20):
            counts = [count(*pair, rule, float(thresholds[place])) for pair in pairs]
            point = curves.pd_fa[name]
            assert point.thresholds[::-1][place] == thresholds[place]
            assert point.y[::-1][place] == sum(c.detected for c in counts) / sum(c.targets for c in counts)
            assert point.x[::-1][place] == sum(c.false_alarm for c in counts) / sum(c.pixels for c in counts)


def equal(first, second):
    one, other = first.curve_counts, second.curve_counts
    for name in first.counts:
        for field in first.counts[name]:
            assert sorted(first.counts[name][field]) == sorted(second.counts[name][field])
        assert np.array_equal(one.detected[name], other.detected[name])
        assert np.array_equal(one.false_alarm[name], other.false_alarm[name])
    for field in ("histogram", "background_hits", "target_hits", "targets"):
        assert np.array_equal(getattr(one, field), getattr(other, field))


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 7), st.sampled_from([1, 60, 10**6]), st.sampled_from([1, 3]), st.randoms())
def test_neither_pieces_nor_threads_nor_order_change_anything(seed, images, pixels, workers, order):
    pairs = [random_pair(np.random.default_rng([seed, image])) for image in range(images)]
    whole = evaluate(pairs, list(CONVENTIONS), STEPS, workers=1)
    shuffled = list(pairs)
    order.shuffle(shuffled)
    usual, evaluation.PIECE = evaluation.PIECE, pixels
    try:
        equal(whole, evaluate(iter(shuffled), list(CONVENTIONS), STEPS, workers=workers))
    finally:
        evaluation.PIECE = usual


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_a_translated_pair_has_the_same_curves(seed):
    pair = random_pair(np.random.default_rng(seed))
    first, second = (
        [tuple(np.pad(item, ((top, 9 - top), (left, 9 - left))) for item in pair)] for top, left in ((1, 2), (7, 5))
    )
    equal(evaluate(first, list(CONVENTIONS), STEPS), evaluate(second, list(CONVENTIONS), STEPS))


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_counts_are_those_of_score(threshold):
    pairs = [random_pair(np.random.default_rng(image)) for image in range(20)]
    found = evaluate(pairs, list(CONVENTIONS), threshold=threshold)
    for name, columns in found.counts.items():
        assert str(summarise(columns)) == str(score(pairs, name, threshold))  # text: NaN is not equal to itself


def test_predictions_without_scores_have_curves_too():
    mask = np.zeros((9, 9), dtype=bool)
    mask[3:5, 3:5] = True
    for scores in (mask, mask.astype(np.uint8), mask.astype(np.float32)):
        found = evaluate([(scores, mask)])
        assert found.counts["basicirstd"]["detected"].tolist() == [1]
        assert found.curves.pd_fa["basicirstd"].y.max() == 1


def test_nothing_to_evaluate_is_undefined():
    found = evaluate([])
    assert np.isnan(found.curves.pixel.area)
    assert np.isnan(found.curves.pd_fa["basicirstd"].y).all()
    assert found.counts["basicirstd"]["pixels"].tolist() == []


@pytest.mark.parametrize("place", [0, 3])
def test_what_cannot_be_scored_is_an_error_wherever_it_stands(place):
    pairs = [(np.zeros((4, 4)), np.zeros((4, 4))) for _ in range(4)]
    pairs[place] = (np.full((4, 4), np.nan), np.zeros((4, 4)))
    with pytest.raises(DataError, match="finite"):
        evaluate(pairs)
    with pytest.raises(ParameterError, match="sctransnet"):
        evaluate([], ["sctrans"])


def test_calibration_is_scikit_learns():
    rng = np.random.default_rng(0)
    scores = to_scores(to_logits(rng.random(20_000)))
    truth = rng.random(20_000) < scores**2
    found = calibration(
        evaluate([(scores.reshape(100, 200), truth.reshape(100, 200))]).curve_counts.histogram, bins=7
    )  # no score on an edge
    share, mean = calibration_curve(truth, scores, n_bins=7)  # no score on an edge
    assert np.allclose(found.share, share)
    assert np.allclose(found.score, mean)
    assert found.ece == pytest.approx(np.average(np.abs(share - mean), weights=found.pixels))


def test_thinning_keeps_the_ends_of_a_curve():
    x = np.linspace(0, 1, 5000)
    points = thinned(Curve(x, np.sqrt(x), 1 - x, 0.5))
    assert len(points) <= CURVE_POINTS
    assert points[0].tolist() == [0, 0, 1]
    assert points[-1].tolist() == [1, 1, 0]
