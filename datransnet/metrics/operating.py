"""Operating points: the threshold that keeps a budget of false alarms, chosen on images that it is not reported on."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from datransnet.errors import ParameterError
from datransnet.metrics.curves import Values
from datransnet.metrics.evaluation import Evaluation

CONFIDENCE = 0.95
"""Of the upper bound that a cautious choice keeps below the budget."""


@dataclass(frozen=True)
class Budget:
    """What false alarms may come to.

    Attributes:
        limit: the most that is allowed.
        per: false-alarm pixels for each ``"pixel"``, or false-alarm components for each ``"image"``.
    """

    limit: float
    per: Literal["pixel", "image"] = "pixel"


def operating_point(found: Evaluation, convention: str, budget: Budget, cautious: bool = False) -> float:
    """The threshold with the most targets detected within a budget; the highest of equals.

    1.0, above which no score is, where no threshold detects anything within it.

    Args:
        found: `datransnet.metrics.evaluate` of the images that choose.
        convention: one that was evaluated.
        budget: of false alarms.
        cautious: keep an upper confidence bound on these images within the budget, not just their mean. Thresholds are
            then gone through from the highest down until one breaks it, so that the bound holds for the one chosen as
            for a single one (Bates et al., Distribution-Free, Risk-Controlling Prediction Sets, 2021).

    Raises:
        ParameterError: if the budget is by image and the convention knows pixels only.

    >>> from datransnet.metrics import evaluate
    >>> mask = np.zeros((40, 40)); mask[4:6, 4:6] = 1
    >>> scores = 0.6 * mask; scores[20, 20] = 0.3
    >>> found = evaluate([(scores, mask)], thresholds=np.array([0.2, 0.5, 0.55]))
    >>> [float(operating_point(found, "basicirstd", Budget(limit))) for limit in (0.0, 1e-3)]
    [0.55, 0.55]
    """
    detected = found.detections[convention].detected.sum(axis=0)
    rate, bound = false_alarm_rates(found, convention, budget.per)
    kept = np.logical_and.accumulate((bound <= budget.limit)[::-1])[::-1] if cautious else rate <= budget.limit
    useful = np.where(kept, detected, 0)
    if not useful.any():
        return 1.0
    thresholds = found.curve_counts.thresholds
    return float(thresholds[np.flatnonzero(useful == useful.max())[-1]])


def false_alarm_rates(found: Evaluation, convention: str, per: Literal["pixel", "image"]) -> tuple[Values, Values]:
    """False alarms at each threshold by pixel or by image, and upper bounds of their expectation, (K,) each.

    The bound is one-sided, by Student's t over images, but never below the exact Poisson bound of their number: where
    no image has a false alarm that is still three of them (Hanley and Lippman-Hand 1983).
    """
    counted = found.detections[convention]
    alarms = counted.false_alarm if per == "pixel" else counted.alarms
    if alarms is None:
        raise ParameterError(f"Convention {convention} counts pixels, not components: set a budget by pixel.")
    of = found.counts[convention]["pixels"].astype(np.float64) if per == "pixel" else np.ones(len(alarms))
    number, total = len(alarms), of.sum()
    if number < 2 or total == 0:
        rate = alarms.sum(axis=0) / total if total else np.full(alarms.shape[1], math.nan)
        return rate, np.full(alarms.shape[1], math.inf)
    rate = alarms.sum(axis=0) / total
    left = alarms - of[:, None] * rate
    error = np.sqrt(number / (number - 1) * (left**2).sum(axis=0)) / total
    poisson = stats.chi2.ppf(CONFIDENCE, 2 * (alarms.sum(axis=0) + 1)) / 2 / total
    return rate, np.maximum(rate + stats.t.ppf(CONFIDENCE, number - 1) * error, poisson)
