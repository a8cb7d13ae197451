"""Hierarchical IoU against the released numbers, against its definition, and in what must not matter."""

import json
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from datransnet.components import EIGHT
from datransnet.errors import ParameterError
from datransnet.metrics import HIERARCHICAL, evaluate, hierarchical, hierarchical_summary, score
from datransnet.metrics.hierarchical import DIGITS
from tests.conftest import OUTSIDE

RELEASED = {  # their names → ours
    "hiou": "hiou",
    "probability_detection": "pd",
    "false_alarm": "fa",
    "seg_iou": "seg_iou",
    "seg_mrg_err": "seg_merged",
    "seg_itf_err": "seg_excess",
    "seg_pcp_err": "seg_lacking",
    "loc_iou": "loc_iou",
    "loc_s2m_err": "loc_merged",
    "loc_m2s_err": "loc_split",
    "loc_itf_err": "loc_alarm",
    "loc_pcp_err": "loc_miss",
}


@pytest.fixture(scope="module")
def golden():
    """Pairs, and what the released implementation makes of them."""
    folder = OUTSIDE / "golden" / "hiou"
    if not folder.exists():
        pytest.skip("the golden pairs are not here")
    with np.load(folder / "golden_hiou.npz") as archive:
        pairs = list(zip(archive["probs"] / 255.0, archive["masks"], strict=True))
    found = json.loads((folder / "golden_hiou.json").read_text())
    return pairs, found, json.loads((folder / "golden_hiou_without_phantoms.json").read_text())


@pytest.mark.parametrize("number", [1, 10])
def test_as_released_it_has_the_released_numbers(golden, number):
    pairs, released, _ = golden
    thresholds = [0.5] if number == 1 else np.linspace(0, 1, number, endpoint=False).tolist()
    ours = hierarchical(pairs, "hiou_released", thresholds)
    for name in (f"opdc_{number}", f"errors_{number}"):
        for metric, values in released[name]["result"].items():
            found = [getattr(each, RELEASED[metric]) for each in ours]
            assert found == pytest.approx(values, abs=1e-12), (name, metric)


def test_corrected_and_by_distance_it_has_the_released_numbers(golden):
    pairs, released, corrected = golden
    [ours] = hierarchical(pairs, "hiou")
    for name in ("hiou", "pd", "seg_iou", "loc_iou"):
        assert getattr(ours, name) == pytest.approx(corrected[name], abs=1e-12), name
    [ours] = hierarchical(pairs, "hiou_distance")
    for metric, [value] in released["distance_1"]["result"].items():
        assert getattr(ours, RELEASED[metric]) == pytest.approx(value, abs=1e-12), metric


def test_the_shooting_rule_and_pd_by_distance_have_the_released_numbers(golden):
    pairs, released, _ = golden
    for convention, name in (("shooting", "shooting_1"), ("basicirstd", "basic_1")):
        found, theirs = score(pairs, convention), released[name]["result"]
        assert [found.pd] == theirs["probability_detection"]
        assert [found.fa] == pytest.approx(theirs["false_alarm"], abs=1e-12)


def images(seed, number=3):
    """Pairs of scores and masks; among them images without target, and maps of nothing."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(number):
        shape = rng.integers(4, 28, size=2)
        mask = ndimage.maximum_filter(rng.random(shape) < rng.choice([0, 0.02, 0.06]), rng.integers(1, 4))
        noise = rng.random(shape) < rng.choice([0, 0.03])
        near = np.roll(mask, rng.integers(-2, 3, size=2), axis=(0, 1)) & (rng.random(shape) < 0.9)
        pairs.append(((noise | near) * rng.choice([0.0, 0.9], p=[0.2, 0.8]), mask))
    return pairs


def same(first, second):
    """Whether two scores are equal up to the order of sums."""
    return np.allclose(astuple(first), astuple(second), rtol=0, atol=1e-12, equal_nan=True)


@given(st.integers(0, 2**32))
def test_it_is_what_its_definition_says_pair_by_pair(seed):
    pairs, sums = images(seed), np.zeros(4)  # Σ IoU, matched, alarms, misses
    for scores, mask in pairs:
        (truth, targets), (found, number) = (ndimage.label(part, EIGHT) for part in (mask, scores > 0.5))
        each = [[truth == index + 1 for index in range(targets)], [found == index + 1 for index in range(number)]]
        centres = [np.array([np.argwhere(one).mean(axis=0) for one in kind]).reshape(-1, 2) for kind in each]
        distance = np.array([[np.hypot(*(a - b)) for b in centres[1]] for a in centres[0]]).reshape(targets, number)
        distance = distance.round(DIGITS)  # ties are ties
        iou = np.array([[(a & b).sum() / (a | b).sum() for b in each[1]] for a in each[0]]).reshape(targets, number)
        kept = [pair for pair in zip(*linear_sum_assignment(distance), strict=True) if iou[pair] >= 0.5]
        rows = [row for row in range(targets) if row not in {pair[0] for pair in kept}]
        columns = [column for column in range(number) if column not in {pair[1] for pair in kept}]
        again = linear_sum_assignment(distance[np.ix_(rows, columns)])
        pairs_left = [(rows[row], columns[column]) for row, column in zip(*again, strict=True)]
        kept += [pair for pair in pairs_left if distance[pair] < 3]
        sums += [sum(iou[pair] for pair in kept), len(kept), number - len(kept), targets - len(kept)]
    [ours], everything = hierarchical(pairs), sums[1:].sum()
    if not everything:
        assert np.isnan(ours.hiou)
        return
    assert ours.hiou == pytest.approx(sums[0] / everything)
    assert ours.loc_iou == pytest.approx(sums[1] / everything)
    assert ours.seg_iou == pytest.approx(sums[0] / sums[1] if sums[1] else 0)


@given(st.integers(0, 2**32))
def test_what_is_lost_adds_up(seed):
    for name in HIERARCHICAL:
        [found] = hierarchical(images(seed), name)
        if np.isnan(found.hiou):
            continue
        causes = [found.lost_to_misses, found.lost_to_alarms, found.lost_to_merging]
        causes += [found.lost_to_splitting, found.lost_to_shape]
        assert min(causes) >= 0
        assert found.hiou + sum(causes) == pytest.approx(1)
        assert found.hiou == pytest.approx(found.seg_iou * found.loc_iou)
        if found.loc_iou:
            assert found.seg_iou + found.seg_merged + found.seg_excess + found.seg_lacking == pytest.approx(1)


@given(st.integers(0, 2**32), st.sampled_from(["hiou", "hiou_released"]))
def test_neither_the_order_of_images_nor_their_place_matters(seed, name):
    pairs = images(seed)
    [first] = hierarchical(pairs, name)
    assert same(first, hierarchical(pairs[::-1], name)[0])
    moved = [tuple(np.pad(part, ((5, 0), (2, 0))) for part in pair) for pair in pairs]
    [second] = hierarchical(moved, name)
    assert first.hiou == pytest.approx(second.hiou, nan_ok=True)
    assert first.lost_to_merging == pytest.approx(second.lost_to_merging, nan_ok=True)


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_images_of_nothing_change_the_released_form_only(seed, number):
    pairs, nothing = images(seed), (np.zeros((9, 9)), np.zeros((9, 9), bool))
    for name in ("hiou", "hiou_distance"):
        [before], [after] = hierarchical(pairs, name), hierarchical(pairs + [nothing] * number, name)
        assert after.hiou == pytest.approx(before.hiou, nan_ok=True)
    [before], [after] = (hierarchical(found, "hiou_released") for found in (pairs, pairs + [nothing] * number))
    assert after.hiou < before.hiou or before.hiou == 0


def drawn(*boxes):
    """A mask of rectangles, each (first row, first column, height, width)."""
    mask = np.zeros((24, 24), dtype=bool)
    for row, column, height, width in boxes:
        mask[row : row + height, column : column + width] = True
    return mask


def test_each_cause_is_told():
    two, bridge = drawn((4, 4, 4, 3), (4, 8, 4, 3)), drawn((4, 4, 4, 7))
    [merged] = hierarchical([(bridge, two)])  # its centre is 2 pixels from each: the first target takes it
    assert (merged.loc_merged, merged.loc_split, merged.loc_iou) == (0.5, 0, 0.5)
    assert merged.seg_merged == pytest.approx(12 / 28)
    [split] = hierarchical([(two, bridge)])
    assert (split.loc_merged, split.loc_split, split.loc_iou) == (0, 0.5, 0.5)
    [missed] = hierarchical([(drawn((4, 4, 2, 2)), drawn((4, 4, 2, 2), (16, 16, 2, 2)))])
    assert (missed.lost_to_misses, missed.hiou) == (0.5, 0.5)
    [alarmed] = hierarchical([(drawn((4, 4, 2, 2), (16, 16, 2, 2)), drawn((4, 4, 2, 2)))])
    assert (alarmed.lost_to_alarms, alarmed.hiou) == (0.5, 0.5)


def test_overlap_matches_what_distance_cannot():
    long, most = drawn((4, 2, 2, 20)), drawn((4, 2, 2, 12))  # centres 4 pixels apart, an IoU of 0.6
    [by_overlap], [by_distance] = (hierarchical([(most, long)], name) for name in ("hiou", "hiou_distance"))
    assert by_overlap.hiou == pytest.approx(0.6)
    assert by_distance.hiou == 0


def test_a_pass_over_images_counts_the_same():
    pairs = images(7, 9)
    found = evaluate(pairs, workers=2).hierarchical
    for name in ("hiou", "hiou_released"):
        assert same(hierarchical_summary(found, name), hierarchical(pairs, name)[0])


def test_an_unknown_form_is_told():
    with pytest.raises(ParameterError, match="hiou_released"):
        hierarchical([], "hiou_relased")
