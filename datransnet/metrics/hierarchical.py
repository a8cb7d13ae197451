"""Hierarchical IoU: how well targets are found, times how well those that are found are outlined.

Targets and predicted components are matched one to one. With T matched pairs, A predicted components left over (alarms)
and M targets left over (misses), location IoU is T / (T + A + M), segmentation IoU the mean IoU of the T pairs, and
hierarchical IoU their product, which is Σ IoU of pairs / (T + A + M). What is missing to 1 is divided among its causes.

Source: Rethinking Evaluation of Infrared Small Target Detection (arXiv 2509.16888), and its implementation
pyirstdmetrics 1.0.2.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from datransnet.components import Components, components
from datransnet.errors import ParameterError, did_you_mean
from datransnet.metrics.counts import Mask, Scores, validate
from datransnet.metrics.matching import DISTANCE, match
from datransnet.metrics.score import ratio

OVERLAP = 0.5
"""Matching by overlap: a pair of this IoU or more fits wherever its centroids are."""

DIGITS = 9
"""Of distances in pixels: two that are equal stay equal wherever in the image they lie, and on every machine."""

Column = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HierarchicalRule:
    """One form of hierarchical IoU.

    Attributes:
        name: how results are labelled.
        matching: ``"overlap"`` assigns all targets and components so that the sum of distances of centroids is least,
            keeps pairs of an IoU of `OVERLAP` or more, assigns what is left over once more and keeps pairs closer than
            3 pixels; ``"distance"`` matches as Pd does in the conventions (`datransnet.metrics.matching`).
        phantoms: count an alarm on every image without a prediction and a miss on every image without a target, as the
            released matching does, whose table of pairs has at least one row and one column (see `with_phantoms`).
        source: whose form it is.
    """

    name: str
    matching: Literal["overlap", "distance"]
    phantoms: bool
    source: str


HIERARCHICAL = {
    rule.name: rule
    for rule in (
        HierarchicalRule("hiou", "overlap", False, "arXiv 2509.16888, images without target or prediction corrected"),
        HierarchicalRule("hiou_released", "overlap", True, "pyirstdmetrics 1.0.2, as its numbers are"),
        HierarchicalRule("hiou_distance", "distance", False, "pyirstdmetrics 1.0.2 with its distance-only matching"),
    )
}


@dataclass(frozen=True)
class HierarchicalCounts:
    """What one image contributes; all fields add up over images.

    A target or component is *alone* if nothing of the other kind overlaps it enough or is near enough to match it.

    Attributes:
        matched: pairs.
        alarms: components left over.
        misses: targets left over.
        lone_alarms: alarms that are alone; the others lost their target to another component.
        lone_misses: misses that are alone; the others lost their component to another target.
        overlap: sum over pairs of their IoU.
        merged: sum over pairs of the share of their union that the component has in other targets.
        excess: sum over pairs of the share of their union that the component has in the background.
        lacking: sum over pairs of the share of their union that the component does not cover.
        false_alarm: pixels of alarms.
        pixels: of the image.
    """

    matched: int
    alarms: int
    misses: int
    lone_alarms: int
    lone_misses: int
    overlap: float
    merged: float
    excess: float
    lacking: float
    false_alarm: int
    pixels: int


HIERARCHICAL_FIELDS = tuple(field.name for field in fields(HierarchicalCounts))


@dataclass(frozen=True)
class HierarchicalScore:
    """Metrics pooled over images, in [0, 1]; 0 where nothing is matched, NaN where nothing could be.

    The last five and ``hiou`` add up to 1.

    Attributes:
        hiou: hierarchical IoU, ``seg_iou`` times ``loc_iou``.
        seg_iou: mean IoU of the matched pairs.
        loc_iou: matched pairs over all pairs, alarms and misses.
        seg_merged: mean share of a pair's union that lies in other targets (the paper's merging error).
        seg_excess: mean share that lies in the background (interference).
        seg_lacking: mean share that is not predicted (perception).
        loc_merged: misses whose component another target took, over all (single to multiple).
        loc_split: alarms whose target another component took, over all (multiple to single).
        loc_alarm: alarms that are alone, over all (interference).
        loc_miss: misses that are alone, over all (perception).
        pd: matched targets over targets.
        fa: pixels of alarms over pixels.
        lost_to_misses: what `hiou` lacks to 1 because of targets that nothing is near.
        lost_to_alarms: because of components that no target is near.
        lost_to_merging: because one component covers or is near several targets.
        lost_to_splitting: because several components cover or are near one target.
        lost_to_shape: because matched pairs differ in their outline.
    """

    hiou: float
    seg_iou: float
    loc_iou: float
    seg_merged: float
    seg_excess: float
    seg_lacking: float
    loc_merged: float
    loc_split: float
    loc_alarm: float
    loc_miss: float
    pd: float
    fa: float
    lost_to_misses: float
    lost_to_alarms: float
    lost_to_merging: float
    lost_to_splitting: float
    lost_to_shape: float


def hierarchical_rule(name: str) -> HierarchicalRule:
    """The form of hierarchical IoU of that name.

    Raises:
        ParameterError: if there is none.
    """
    if name not in HIERARCHICAL:
        raise ParameterError(f"There is no form {name!r}. {did_you_mean(name, list(HIERARCHICAL))}")
    return HIERARCHICAL[name]


def hierarchical_terms(columns: Mapping[str, Column]) -> dict[str, tuple[Column, Column]]:
    """What each image adds to the numerator and the denominator of each metric of `HierarchicalScore`, (…, N) each."""
    pairs = columns["matched"]
    every = pairs + columns["alarms"] + columns["misses"]
    above = {
        "hiou": columns["overlap"],
        "loc_iou": pairs,
        "loc_merged": columns["misses"] - columns["lone_misses"],
        "loc_split": columns["alarms"] - columns["lone_alarms"],
        "loc_alarm": columns["lone_alarms"],
        "loc_miss": columns["lone_misses"],
        "lost_to_misses": columns["lone_misses"],
        "lost_to_alarms": columns["lone_alarms"],
        "lost_to_merging": columns["misses"] - columns["lone_misses"] + columns["merged"],
        "lost_to_splitting": columns["alarms"] - columns["lone_alarms"],
        "lost_to_shape": columns["excess"] + columns["lacking"],
    }
    of_pairs = {"seg_iou": "overlap", "seg_merged": "merged", "seg_excess": "excess", "seg_lacking": "lacking"}
    return (
        {name: (numerator, every) for name, numerator in above.items()}
        | {name: (columns[kind], pairs) for name, kind in of_pairs.items()}
        | {"pd": (pairs, pairs + columns["misses"]), "fa": (columns["false_alarm"], columns["pixels"])}
    )


def hierarchical_ratios(columns: Mapping[str, Column]) -> dict[str, Column]:
    """The metrics of `HierarchicalScore` from counts whose last axis is the images: (…, N) → (…)."""
    found = {name: ratio(*each) for name, each in hierarchical_terms(columns).items()}
    unmatched = ~np.isnan(found["hiou"]) & (found["loc_iou"] == 0)
    return {name: np.where(unmatched & np.isnan(value), 0.0, value) for name, value in found.items()}


def hierarchical_count(
    binary: npt.NDArray[np.bool_], targets: Components, matching: Literal["overlap", "distance"] = "overlap"
) -> HierarchicalCounts:
    """Count one image.

    Args:
        binary: H×W, the prediction.
        targets: components of its mask.
        matching: see `HierarchicalRule`.
    """
    return _counted(binary, _Targets.of(targets), matching)


def hierarchical(
    pairs: Iterable[tuple[Scores, Mask]], rule: str = "hiou", thresholds: Sequence[float] = (0.5,)
) -> list[HierarchicalScore]:
    """Hierarchical IoU of predictions at each threshold.

    Args:
        pairs: (scores H×W in [0, 1], mask H×W nonzero on targets), consumed once; images may differ in size.
        rule: a name in `HIERARCHICAL`.
        thresholds: scores strictly above one are predicted.

    Raises:
        ParameterError: if the form is unknown.
        DataError: if a pair does not fit.

    >>> mask = np.zeros((16, 16)); mask[2:4, 2:6] = 1
    >>> half = mask.copy(); half[:, 4:] = 0
    >>> [found] = hierarchical([(half, mask)])
    >>> found.seg_iou, found.loc_iou, found.hiou, found.lost_to_shape
    (0.5, 1.0, 0.5, 0.5)
    """
    form, counts = hierarchical_rule(rule), [list[HierarchicalCounts]() for _ in thresholds]
    for scores, mask in pairs:
        targets = _Targets.of(components(validate(scores, mask)))
        for found, threshold in zip(counts, thresholds, strict=True):
            found.append(_counted(scores > threshold, targets, form.matching))
    return [hierarchical_summary(hierarchical_columns(found), rule) for found in counts]


def hierarchical_columns(counts: Sequence[HierarchicalCounts]) -> dict[str, Column]:
    """Counts of N images as columns of length N."""
    rows = [attrgetter(*HIERARCHICAL_FIELDS)(item) for item in counts]
    table = np.array(rows, dtype=np.float64).reshape(-1, len(HIERARCHICAL_FIELDS))
    return {name: table[:, index] for index, name in enumerate(HIERARCHICAL_FIELDS)}


def with_phantoms(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Columns with one lone alarm more where nothing is predicted, and one lone miss more where nothing is to be found.

    >>> empty = hierarchical_columns([hierarchical_count(np.zeros((4, 4), bool), components(np.zeros((4, 4), bool)))])
    >>> with_phantoms(empty)["alarms"].tolist(), with_phantoms(empty)["misses"].tolist()
    ([1.0], [1.0])
    """
    changed = dict(columns)
    for kind in ("alarms", "misses"):
        none = columns["matched"] + columns[kind] == 0
        changed |= {name: columns[name] + none for name in (kind, f"lone_{kind}")}
    return changed


def hierarchical_summary(columns: Mapping[str, Column], rule: str = "hiou") -> HierarchicalScore:
    """Metrics from counts as columns, one row an image (see `HierarchicalCounts` for the names).

    Raises:
        ParameterError: if the form is unknown.
    """
    counted = with_phantoms(columns) if hierarchical_rule(rule).phantoms else columns
    return HierarchicalScore(**{name: float(value) for name, value in hierarchical_ratios(counted).items()})


@dataclass(frozen=True)
class _Targets:
    """The targets of a mask, and where in the flat image their pixels are."""

    found: Components
    places: Integers
    owners: Integers

    @classmethod
    def of(cls, found: Components) -> "_Targets":
        places = np.flatnonzero(found.labels)
        return cls(found, places, found.labels.ravel()[places].astype(np.int64))

    def shared_with(self, predicted: Components) -> Integers:
        """Pixels that each target and each component have in common, (N_targets, N_components)."""
        shape = len(self.found) + 1, len(predicted) + 1
        pairs = self.owners * shape[1] + predicted.labels.ravel()[self.places]
        return np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)[1:, 1:]


def _counted(
    binary: npt.NDArray[np.bool_], truth: _Targets, matching: Literal["overlap", "distance"]
) -> HierarchicalCounts:
    """Count one binary prediction beside the targets of its image."""
    targets, found = truth.found, components(binary)
    shared = truth.shared_with(found)
    union = targets.areas[:, None] + found.areas - shared
    near = np.sqrt(((targets.centroids[:, None] - found.centroids) ** 2).sum(axis=2)).round(DIGITS)
    if matching == "distance":
        fits, owner = near < DISTANCE, match(targets, found)
    else:
        overlapping = shared / np.maximum(union, 1) >= OVERLAP
        fits, owner = (near < DISTANCE) | overlapping, _matched_by_overlap(near, overlapping)
    target = np.flatnonzero(owner >= 0)
    component = owner[target]
    pairs, alarms, misses = len(target), len(found) - len(target), len(targets) - len(target)
    lone_alarms, lone_misses = (int((~fits.any(axis=axis)).sum()) for axis in (0, 1))
    own, whole = shared[target, component], union[target, component]
    others = shared[:, component].sum(axis=0) - own
    return HierarchicalCounts(
        matched=pairs,
        alarms=alarms,
        misses=misses,
        lone_alarms=lone_alarms,
        lone_misses=lone_misses,
        overlap=float((own / whole).sum()),
        merged=float((others / whole).sum()),
        excess=float(((found.areas[component] - own - others) / whole).sum()),
        lacking=float(((targets.areas[target] - own) / whole).sum()),
        false_alarm=int(found.areas.sum() - found.areas[component].sum()),
        pixels=binary.size,
    )


def _matched_by_overlap(near: Column, overlapping: npt.NDArray[np.bool_]) -> Integers:
    """For each target the index of its component, or -1: overlap first, then distance (see `HierarchicalRule`)."""
    owner, free = np.full(len(near), -1, dtype=np.int64), np.ones(near.shape[1], dtype=bool)
    for fits in (overlapping, near < DISTANCE):
        if not fits.any():
            continue  # an assignment would keep nothing
        rows, columns = np.flatnonzero(owner < 0), np.flatnonzero(free)
        chosen, taken = linear_sum_assignment(near[rows[:, None], columns])
        pairs = rows[chosen], columns[taken]
        kept = fits[pairs]
        owner[pairs[0][kept]] = pairs[1][kept]
        free[pairs[1][kept]] = False
    return owner
