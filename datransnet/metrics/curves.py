"""Curves over thresholds, from one pass over the images.

Two things are called ROC in this field. The **pixel ROC** pools all pixels: TPR over FPR. The DATransNet release draws
what we call the **target ROC**: at 101 thresholds on scores scaled by the image's maximum, the share of *targets* with
at least one hit pixel over the share of background *pixels* hit. The **Pd-Fa curve** is the one an operator reads.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datransnet.metrics.components import components
from datransnet.metrics.conventions import CONVENTIONS
from datransnet.metrics.counts import Mask, Scores, count, scaled_by_maximum, validate

BINS = 65535
"""Scores are binned to multiples of 1/65535, the precision they are stored with; k/255 falls on a bin exactly."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One curve: y over x, a threshold for each point (descending), and the area under it by trapezoid.

    Attributes:
        x: (N,), rising.
        y: (N,).
        thresholds: (N,); scores at or above it are hit (Pd-Fa: strictly above).
        area: in [0, 1] for the two ROC; of precision over recall for PR; NaN for Pd-Fa, whose x has no bound.
    """

    x: Values
    y: Values
    thresholds: Values
    area: float


@dataclass(frozen=True)
class Curves:
    """All curves of one set of images.

    Attributes:
        pixel: TPR over FPR, pixels.
        precision_recall: precision over recall, pixels.
        target: targets hit over background pixels hit, max-scaled (the DATransNet release's own curve).
        pd_fa: Pd over Fa, convention ``basicirstd``, at `pd_fa_thresholds`.
    """

    pixel: Curve
    precision_recall: Curve
    target: Curve
    pd_fa: Curve


def pd_fa_thresholds(number: int = 33) -> Values:
    """Thresholds evenly spaced in the logit from -8 to 8, descending: scores of a trained network crowd at 0 and 1."""
    return 1 / (1 + np.exp(-np.linspace(8, -8, number)))


def roc(pairs: Iterable[tuple[Scores, Mask]]) -> Curves:
    """Pixel ROC, precision-recall, target ROC and Pd-Fa of predictions, in one pass.

    Args:
        pairs: (scores H×W in [0, 1], mask H×W), consumed once.

    Raises:
        DataError: if a pair does not fit.

    >>> mask = np.zeros((8, 8)); mask[2:4, 2:4] = 1
    >>> curves = roc([(0.9 * mask, mask)])
    >>> curves.pixel.area, float(curves.pd_fa.y.max())
    (1.0, 1.0)
    """
    histogram = np.zeros((2, BINS + 1), dtype=np.int64)  # background, target pixels
    steps = np.arange(101) / 100
    background_hits, target_hits = np.zeros(101), np.zeros(101)
    background = targets = 0
    operating = pd_fa_thresholds()
    detected, false_alarm, pixels = np.zeros(len(operating)), np.zeros(len(operating)), 0
    for scores, mask in pairs:
        truth = validate(scores, mask)
        bins = np.rint(scores.astype(np.float64) * BINS).astype(np.int64)
        for label in (0, 1):
            histogram[label] += np.bincount(bins[truth == bool(label)], minlength=BINS + 1)
        found = components(truth)
        background += truth.size - int(found.areas.sum())
        targets += len(found)
        if scores.max(initial=0) > 0:  # an all-zero map is 0/0 in the released script: no hit even at threshold 0
            scaled = scaled_by_maximum(scores)
            background_hits += _at_least(scaled[~truth], steps)
            peaks = [scaled[found.labels == index + 1].max() for index in range(len(found))]
            target_hits += _at_least(np.array(peaks), steps)
        for index, threshold in enumerate(operating):
            counts = count(scores, mask, CONVENTIONS["basicirstd"], float(threshold))
            detected[index] += counts.detected
            false_alarm[index] += counts.false_alarm
        pixels += truth.size
    undefined = np.full(len(operating), np.nan)
    return Curves(
        *_pixel_curves(histogram),
        target=_curve(
            background_hits[::-1] / max(background, 1), target_hits[::-1] / max(targets, 1), steps[::-1].copy()
        ),
        pd_fa=Curve(
            false_alarm / pixels if pixels else undefined,
            detected / targets if targets else undefined,
            operating,
            float("nan"),
        ),
    )


def _at_least(values: npt.NDArray[np.floating], thresholds: Values) -> Values:
    """How many values are at or above each threshold."""
    below = np.searchsorted(np.sort(values.ravel()), thresholds.astype(values.dtype), side="left")
    return (values.size - below).astype(np.float64)


def _curve(x: Values, y: Values, thresholds: Values) -> Curve:
    return Curve(x, y, thresholds, float(np.trapezoid(y, x)))


def _pixel_curves(histogram: npt.NDArray[np.int64]) -> tuple[Curve, Curve]:
    """Pixel ROC and precision-recall from the scores' histogram, at the thresholds where something changes."""
    false_positive, true_positive = np.cumsum(histogram[:, ::-1], axis=1)
    thresholds = np.arange(BINS, -1, -1) / BINS
    changed = np.flatnonzero(histogram[:, ::-1].any(axis=0))
    false_positive, true_positive = (
        np.concatenate([[0], counts[changed]]).astype(float) for counts in (false_positive, true_positive)
    )
    at = np.concatenate([[np.inf], thresholds[changed]])
    fpr = false_positive / false_positive[-1] if false_positive[-1] else np.full_like(at, np.nan)
    tpr = true_positive / true_positive[-1] if true_positive[-1] else np.full_like(at, np.nan)
    precision = true_positive / np.maximum(true_positive + false_positive, 1)
    precision[0] = 1.0  # nothing predicted, nothing wrong: the usual end of the curve
    return _curve(fpr, tpr, at), _curve(tpr, precision, at)
