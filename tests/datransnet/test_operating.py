"""Operating points keep their budgets: by definition on the images that choose, and by their bound on others."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datransnet.errors import ParameterError
from datransnet.metrics import CONVENTIONS, Budget, count, evaluate, logit_thresholds, operating_point
from datransnet.metrics.detection import Detections
from datransnet.metrics.operating import false_alarm_rates

COMPONENTS = [name for name, rule in CONVENTIONS.items() if rule.fa != "pixels"]


def noisy(seed, number=5):
    """Pairs in which targets are mostly brighter than what is not one."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(number):
        mask = np.zeros((24, 20), dtype=bool)
        for row, column in rng.integers(1, 18, size=(rng.integers(0, 4), 2)):
            mask[row : row + 2, column : column + 2] = True
        pairs.append((np.where(mask, rng.random(mask.shape) ** 0.2, rng.random(mask.shape) ** 8), mask))
    return pairs


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.sampled_from(["pixel", "image"]), st.sampled_from(COMPONENTS))
def test_it_is_the_highest_threshold_with_the_most_targets_within_the_budget(seed, per, convention):
    pairs, levels = noisy(seed), logit_thresholds(15)
    limit = {"pixel": 0.004, "image": 1.5}[per]
    allowed = {}
    for level in levels.tolist():
        counts = [count(*pair, CONVENTIONS[convention], level) for pair in pairs]
        alarms = [each.false_alarm if per == "pixel" else each.alarms for each in counts]
        if sum(alarms) <= limit * sum(each.pixels if per == "pixel" else 1 for each in counts):
            allowed[level] = sum(each.detected for each in counts)
    best = max(allowed.values(), default=0)
    expected = max(level for level in allowed if allowed[level] == best) if best else 1.0
    found = evaluate(pairs, [convention], levels)
    assert operating_point(found, convention, Budget(limit, per)) == expected
    assert operating_point(found, convention, Budget(limit, per), cautious=True) >= expected


LEVELS = np.linspace(0.05, 0.95, 19)


def drawn(rng, empty):
    """An evaluation whose false alarms are drawn: the rarer, the higher the threshold, and in clumps."""
    images = len(empty.counts["basicirstd"]["pixels"])
    rates = np.linspace(1.0, 0.02, 19)
    bursts = rng.gamma(0.7, 1 / 0.7, size=(images, 1)) * rates
    alarms = rng.poisson(bursts)
    counted = Detections(np.ones((images, 19), dtype=np.int64) * np.arange(19, 0, -1), alarms, alarms)
    return replace(empty, detections={"basicirstd": counted}), dict(zip(LEVELS.tolist(), rates.tolist(), strict=True))


def test_a_cautious_choice_breaks_its_budget_as_rarely_as_promised_and_a_plain_one_does_not():
    rng, broken = np.random.default_rng(5), {False: 0, True: 0}
    empty = evaluate([(np.zeros((8, 8)), np.zeros((8, 8)))] * 60, thresholds=LEVELS)
    for _ in range(300):
        found, rates = drawn(rng, empty)
        for cautious in broken:
            threshold = operating_point(found, "basicirstd", Budget(0.4, "image"), cautious)
            broken[cautious] += rates.get(threshold, 0.0) > 0.4
    assert broken[True] / 300 < 0.08
    assert broken[False] / 300 > 0.25


def test_no_false_alarm_on_few_images_does_not_promise_none():
    images = [(np.zeros((10, 10)), np.zeros((10, 10)))] * 20
    rate, bound = false_alarm_rates(evaluate(images, thresholds=np.array([0.5])), "basicirstd", "pixel")
    assert rate.tolist() == [0]
    assert bound[0] == pytest.approx(2.9957 / 2000, rel=1e-4)
    assert false_alarm_rates(evaluate(images[:1], thresholds=np.array([0.5])), "basicirstd", "image")[1] == np.inf


def test_a_convention_of_pixels_has_no_budget_by_image():
    found = evaluate(noisy(1), ["rpcanet"])
    assert 0 < operating_point(found, "rpcanet", Budget(0.01)) <= 1
    with pytest.raises(ParameterError, match="budget by pixel"):
        operating_point(found, "rpcanet", Budget(1, "image"))
