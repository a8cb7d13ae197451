"""Curves over thresholds.

Two things are called ROC in this field. The **pixel ROC** pools all pixels: TPR over FPR. The DATransNet release draws
what we call the **target ROC**: at 101 thresholds on scores scaled by the image's maximum, the share of *targets* with
at least one hit pixel over the share of background *pixels* hit. The **Pd-Fa curve** is the one an operator reads; it
depends on the convention as Pd and Fa do.

Everything here is counted in integers that add up over images, so the way a set is cut into pieces changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import expit

from datransnet.components import Components
from datransnet.metrics.component_tree import ComponentTree, component_tree
from datransnet.metrics.conventions import Convention
from datransnet.metrics.counts import Scores, scaled_by_maximum, widened
from datransnet.metrics.detection import Detections, detections
from datransnet.metrics.logit_levels import LEVELS, level_of, score_of_level

CURVE_POINTS = 400
"""Points of a curve that are enough to draw it."""

TARGET_STEPS = np.arange(101) / 100
"""Thresholds of the target ROC."""

Values = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Curve:
    """One curve: y over x, a threshold for each point (descending), and the area under it by trapezoid.

    Attributes:
        x: (N,), rising for the ROCs and PR.
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
        pd_fa: Pd over Fa, by convention.
    """

    pixel: Curve
    precision_recall: Curve
    target: Curve
    pd_fa: Mapping[str, Curve]

    def write(self, path: Path) -> None:
        """Write lines ``curve,x,y,threshold``, thinned; Pd-Fa curves are called ``pd_fa_<convention>``."""
        named = {"pixel": self.pixel, "precision_recall": self.precision_recall, "target": self.target}
        named |= {f"pd_fa_{name}": curve for name, curve in self.pd_fa.items()}
        with path.open("w", encoding="utf-8") as file:
            file.write("curve,x,y,threshold\n")
            for name, curve in named.items():
                for x, y, threshold in thinned(curve):
                    file.write(f"{name},{x:.8g},{y:.8g},{threshold:.17g}\n")


def thinned(curve: Curve) -> Values:
    """At most `CURVE_POINTS` points (x, y, threshold) of a curve, evenly along its length, (N, 3); ends are kept."""
    points = np.stack([curve.x, curve.y, curve.thresholds], axis=1)
    if len(points) <= CURVE_POINTS:
        return points
    steps = np.hypot(np.diff(curve.x), np.diff(curve.y)) + 1e-3 / len(points)
    along = np.concatenate([[0], np.cumsum(steps)])
    chosen = np.searchsorted(along, np.linspace(0, along[-1], CURVE_POINTS))
    return points[np.unique(np.clip(chosen, 0, len(points) - 1))]


def logit_thresholds(number: int = 101) -> Values:
    """Thresholds evenly spaced in the logit from -14 to 36, rising: scores of a trained network crowd at 0 and 1.

    36 is as far as double precision goes, and a false-alarm rate that an operator can bear may need it.

    >>> logit_thresholds(101)[[0, 28, 50]].round(6).tolist()
    [1e-06, 0.5, 0.999983]
    """
    return expit(np.linspace(-14, 36, number))


@dataclass(frozen=True)
class CurveCounts:
    """What images contribute to their curves; the sum of two is that of both sets.

    Attributes:
        thresholds: of the Pd-Fa curves, (K,), rising.
        histogram: background and target pixels by level of their score (see `datransnet.metrics.logit_levels`), of
            shape (2, LEVELS).
        background_hits: background pixels at or above each of `TARGET_STEPS`, max-scaled, (101,).
        target_hits: targets with such a pixel, (101,).
        targets: number of targets.
        detected: by convention, targets detected above each threshold, (K,).
        false_alarm: by convention, false-alarm pixels above each threshold, (K,).
        pixels: by convention, what false-alarm pixels are a share of.
    """

    thresholds: Values
    histogram: Integers
    background_hits: Integers
    target_hits: Integers
    targets: int
    detected: Mapping[str, Integers]
    false_alarm: Mapping[str, Integers]
    pixels: Mapping[str, int]

    def __add__(self, other: "CurveCounts") -> "CurveCounts":
        return CurveCounts(
            self.thresholds,
            self.histogram + other.histogram,
            self.background_hits + other.background_hits,
            self.target_hits + other.target_hits,
            self.targets + other.targets,
            {name: count + other.detected[name] for name, count in self.detected.items()},
            {name: count + other.false_alarm[name] for name, count in self.false_alarm.items()},
            {name: count + other.pixels[name] for name, count in self.pixels.items()},
        )

    def curves(self) -> Curves:
        """The curves; NaN where a denominator is zero."""
        background = int(self.histogram[0].sum())
        target_roc = _curve(
            _share(self.background_hits, background)[::-1],
            _share(self.target_hits, self.targets)[::-1],
            TARGET_STEPS[::-1],
        )
        pd_fa = {
            name: Curve(
                _share(self.false_alarm[name], self.pixels[name])[::-1],
                _share(self.detected[name], self.targets)[::-1],
                self.thresholds[::-1],
                float("nan"),
            )
            for name in self.detected
        }
        return Curves(*_pixel_curves(self.histogram), target=target_roc, pd_fa=pd_fa)


def count_curves(
    maps: Sequence[Scores],
    truths: Sequence[npt.NDArray[np.bool_]],
    targets: Sequence[Components],
    conventions: Sequence[Convention],
    thresholds: Values,
) -> tuple[CurveCounts, dict[str, Detections]]:
    """Count validated images; and by convention what each of them contributes to the Pd-Fa curve.

    Args:
        maps: N score maps H×W in [0, 1].
        truths: their masks.
        targets: their masks' components.
        conventions: of the Pd-Fa curves.
        thresholds: of the Pd-Fa curves, rising.
    """
    scaled = [scaled_by_maximum(scores) for scores in maps]
    found, pixels = dict[str, Detections](), dict[str, int]()
    trees: dict[bool, ComponentTree] = {}
    for convention in conventions:
        name, shown = convention.name, scaled if convention.scaled else maps
        if convention.fa == "pixels":
            found[name] = _hits(shown, truths, targets, convention, thresholds)
        else:
            if convention.scaled not in trees:
                trees[convention.scaled] = component_tree(shown, thresholds)
            found[name] = detections(trees[convention.scaled], targets, convention.fa)
        pixels[name] = sum(
            truth.size - (int(np.count_nonzero(truth)) if convention.over == "background" else 0)
            for truth, inside in zip(truths, targets, strict=True)
            if convention.empty or len(inside)
        )
    hits = [_target_hits(*each) for each in zip(scaled, truths, targets, strict=True)]
    counts = CurveCounts(
        thresholds,
        reduce(add, map(_histogram, maps, truths), np.zeros((2, LEVELS), dtype=np.int64)),
        reduce(add, (background for background, _ in hits), np.zeros(len(TARGET_STEPS), dtype=np.int64)),
        reduce(add, (hit for _, hit in hits), np.zeros(len(TARGET_STEPS), dtype=np.int64)),
        sum(map(len, targets)),
        {name: each.detected.sum(axis=0) for name, each in found.items()},
        {name: each.false_alarm.sum(axis=0) for name, each in found.items()},
        pixels,
    )
    return counts, found


def _histogram(scores: Scores, truth: npt.NDArray[np.bool_]) -> Integers:
    """Background and target pixels by level."""
    levels = level_of(scores)
    every, inside = (np.bincount(found.ravel(), minlength=LEVELS) for found in (levels, levels[truth]))
    return np.stack([every - inside, inside])


def _target_hits(scaled: Scores, truth: npt.NDArray[np.bool_], targets: Components) -> tuple[Integers, Integers]:
    """Background pixels and targets hit at each of `TARGET_STEPS`."""
    if not scaled.any():  # 0/0 in the released script: no hit, even at threshold 0
        nothing = np.zeros(len(TARGET_STEPS), dtype=np.int64)
        return nothing, nothing
    peaks = np.asarray(ndimage.maximum(scaled, targets.labels, np.arange(1, len(targets) + 1)), dtype=scaled.dtype)
    every, inside, hit = (_at_least(values) for values in (scaled, scaled[truth], peaks))
    return every - inside, hit


def _hits(
    maps: Sequence[Scores],
    truths: Sequence[npt.NDArray[np.bool_]],
    targets: Sequence[Components],
    convention: Convention,
    thresholds: Values,
) -> Detections:
    """What images contribute under a convention that knows pixels only."""
    nothing = np.zeros(len(thresholds), dtype=np.int64)
    counted = [
        _overlaps(*each, convention, thresholds) if convention.empty or len(each[2]) else (nothing, nothing)
        for each in zip(maps, truths, targets, strict=True)
    ]
    detected, false_alarm = (
        np.array([each[place] for each in counted], dtype=np.int64).reshape(-1, len(thresholds)) for place in (0, 1)
    )
    return Detections(detected, false_alarm, None)


def _overlaps(
    scores: Scores, truth: npt.NDArray[np.bool_], targets: Components, convention: Convention, thresholds: Values
) -> tuple[Integers, Integers]:
    """Targets with a pixel in reach above each threshold, and pixels out of range of all targets above it."""
    reached = ndimage.maximum_filter(scores, 2 * convention.reach + 1, mode="constant") if convention.reach else scores
    peaks = np.asarray(ndimage.maximum(reached, targets.labels, np.arange(1, len(targets) + 1)), dtype=scores.dtype)
    hit, false = (
        np.bincount(np.searchsorted(thresholds.astype(scores.dtype), values), minlength=len(thresholds) + 1)
        for values in (peaks, scores[~widened(truth, convention.margin)])
    )
    return hit[:0:-1].cumsum()[::-1], false[:0:-1].cumsum()[::-1]


def _at_least(values: npt.NDArray[np.floating]) -> Integers:
    """How many values are at or above each of `TARGET_STEPS`."""
    steps = len(TARGET_STEPS)
    reached = np.searchsorted(TARGET_STEPS.astype(values.dtype), values.ravel(), side="right")
    return np.bincount(reached, minlength=steps + 1)[:0:-1].cumsum()[::-1]


def _share(count: Integers, of: int) -> Values:
    return count / of if of else np.full(len(count), np.nan)


def _curve(x: Values, y: Values, thresholds: Values) -> Curve:
    return Curve(x, y, thresholds, float(np.trapezoid(y, x)) if len(x) > 1 else float("nan"))


def _pixel_curves(histogram: Integers) -> tuple[Curve, Curve]:
    """Pixel ROC and precision-recall from the scores' histogram, at the thresholds where something changes."""
    false_positive, true_positive = np.cumsum(histogram[:, ::-1], axis=1)
    thresholds = score_of_level()[::-1]
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
