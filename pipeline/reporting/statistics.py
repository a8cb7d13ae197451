"""What numbers of a study allow to claim: intervals at 95 %, paired tests, and silence where there is too little data.

Two questions are kept apart. Over **images**, with the networks as they are: would other images of this kind give the
same? Bootstrap intervals and permutation tests answer it. Over **seeds**: would training again? Student's t answers it.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from datransnet.metrics import COUNT_FIELDS, ratios

LEVEL = 0.95
RESAMPLES = 10_000
"""With 2,000 the ends of an interval moved by a tenth of its width from one draw to the next."""
LEAST_IMAGES = 80
"""Below this many test images no interval and no test over images: from there on `benchmarks.coverage` finds 93 % or
more of the intervals right; with 50 images it was 92.5 % for IoU."""
LEAST_SEEDS = 3
"""Below this many seeds no interval over seeds: two values say nothing about their spread."""

Counted = Mapping[str, Sequence[int]]
"""Counts of one run, image by image (see `datransnet.metrics.Counts`)."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A metric over seeds and images; ends are NaN where there is too little data for a claim.

    Attributes:
        mean: over seeds.
        seeds: number of seeds.
        half_width: of Student's t interval over seeds.
        low: lower end of the bootstrap interval over images of the mean over seeds.
        high: its upper end.
    """

    mean: float
    seeds: int
    half_width: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One model against another on the same images; NaN where there is too little data for a claim.

    Attributes:
        change: of the metric, second minus first, of the means over seeds.
        low: lower end of the bootstrap interval over images of the change.
        high: its upper end.
        p: of the permutation test over images that the two are alike, two-sided.
        half_width: of Student's t interval over seeds of the change, seed by seed.
    """

    change: float
    low: float
    high: float
    p: float
    half_width: float


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its t interval; NaN for fewer than `LEAST_SEEDS`.

    >>> mean, half_width = over_seeds([0.60, 0.64, 0.62])
    >>> round(mean, 3), round(half_width, 3)
    (0.62, 0.05)
    """
    mean = float(np.mean(values))
    if len(values) < LEAST_SEEDS:
        return mean, float("nan")
    error = float(stats.sem(values))
    return mean, float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * error


def proportion(hits: float, number: int) -> tuple[float, float]:
    """Wilson's interval of a proportion; hits may be a mean over seeds.

    >>> low, high = proportion(9, 10)
    >>> round(low, 3), round(high, 3)
    (0.596, 0.982)
    """
    interval = stats.binomtest(round(hits), number).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number, so that one false claim among all of them stays as rare as in one test.

    NaN (no test) stays NaN and does not count. Source: Holm (1979).

    >>> holm([0.01, 0.04, float("nan"), 0.03])
    [0.03, 0.06, nan, 0.06]
    """
    tested = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=lambda index: p_values[index])
    corrected, worst = list(p_values), 0.0
    for place, index in enumerate(tested):
        worst = max(worst, min(1.0, (len(tested) - place) * p_values[index]))
        corrected[index] = worst
    return corrected


def estimates(runs: Sequence[Counted], metrics: Sequence[str]) -> dict[str, Estimate]:
    """Estimates of some metrics from each seed's counts, on the same images."""
    columns = [_columns(run) for run in runs]
    found = {}
    for metric in metrics:
        mean, half_width = over_seeds([float(ratios(seed)[metric]) for seed in columns])
        low, high = _interval(columns[0], partial(_mean, columns, metric))
        found[metric] = Estimate(mean, len(runs), half_width, low, high)
    return found


def compare(first: Sequence[Counted], second: Sequence[Counted], metric: str) -> Comparison:
    """Compare two models, each with the counts of as many seeds in the same order, on the same images.

    The permutation test exchanges the two models' counts image by image, all seeds of an image together.
    """
    one, other = ([_columns(run) for run in runs] for runs in (first, second))
    number = len(one[0]["pixels"])
    change = float(_mean(other, metric, np.arange(number)) - _mean(one, metric, np.arange(number)))
    by_seed = [float(ratios(b)[metric] - ratios(a)[metric]) for a, b in zip(one, other, strict=True)]
    low, high = _interval(one[0], lambda index: _mean(other, metric, index) - _mean(one, metric, index))
    p = float("nan")
    if number >= LEAST_IMAGES:
        both = [
            {name: np.concatenate([a[name], b[name]]) for name in COUNT_FIELDS} for a, b in zip(one, other, strict=True)
        ]
        p = float(
            stats.permutation_test(
                (np.arange(number), number + np.arange(number)),
                lambda a, b, axis: _mean(both, metric, b) - _mean(both, metric, a),
                permutation_type="samples",
                vectorized=True,
                n_resamples=RESAMPLES,
                batch=200,
                rng=np.random.default_rng(0),
            ).pvalue
        )
    return Comparison(change, low, high, p, over_seeds(by_seed)[1])


def change_without(runs: Sequence[Counted], kept: npt.NDArray[np.bool_], metric: str) -> Comparison:
    """What leaving images out changes of a model's metric: on the kept images, minus on all.

    The interval is a paired one: a resample draws from all images, and both values are of what it drew. There is no
    test, since nothing could be exchanged.

    Args:
        runs: counts of each seed.
        kept: whether each image is kept.
        metric: one that is a ratio of sums over images, such as ``iou``.
    """
    every = [_columns(run) for run in runs]
    some = [{name: column * kept for name, column in seed.items()} for seed in every]
    number = np.arange(len(kept))
    change = float(_mean(some, metric, number) - _mean(every, metric, number))
    by_seed = [float(ratios(b)[metric] - ratios(a)[metric]) for a, b in zip(every, some, strict=True)]
    low, high = _interval(every[0], lambda index: _mean(some, metric, index) - _mean(every, metric, index))
    return Comparison(change, low, high, float("nan"), over_seeds(by_seed)[1])


def _columns(run: Counted) -> dict[str, npt.NDArray[np.int64]]:
    return {name: np.asarray(run[name]) for name in COUNT_FIELDS}


def _mean(seeds: Sequence[Mapping[str, npt.NDArray[np.int64]]], metric: str, index: npt.NDArray[np.int64]) -> Values:
    """Mean over seeds of a metric on the images of an index, whose last axis is the images."""
    chosen = ({name: column[index] for name, column in seed.items()} for seed in seeds)
    return np.asarray(np.mean([ratios(seed)[metric] for seed in chosen], axis=0))


def _interval(
    columns: Mapping[str, npt.NDArray[np.int64]], statistic: Callable[[npt.NDArray[np.int64]], Values]
) -> tuple[float, float]:
    """Bootstrap interval over images of a statistic of an index, BCa; images with and without targets drawn apart.

    NaN where nothing varies: that all targets of a sample are found does not say that no target is ever missed.
    The level is raised by what Student's t is wider than the normal distribution, since a resample spreads too little
    by a factor of the square root of (n - 1) / n (Hesterberg, What Teachers Should Know About the Bootstrap, 2015).
    """
    occupied = columns["targets"] > 0
    number = len(occupied)
    strata = [np.flatnonzero(occupied), np.flatnonzero(~occupied)]
    if min(map(len, strata)) < 2:
        strata = [np.arange(number)]
    if number < LEAST_IMAGES:
        return float("nan"), float("nan")
    reach = math.sqrt(number / (number - 1)) * stats.t.ppf((1 + LEVEL) / 2, number - 1)
    options: dict[str, Any] = {"n_resamples": RESAMPLES, "batch": 200, "vectorized": True, "method": "BCa"}
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        interval = stats.bootstrap(
            strata,
            lambda *parts, axis: statistic(np.concatenate(parts, axis=-1)),
            confidence_level=2 * stats.norm.cdf(reach) - 1,
            rng=np.random.default_rng(0),
            **options,
        ).confidence_interval
    return float(interval.low), float(interval.high)
