"""What numbers of a study allow to say: intervals at 95 %, paired tests, and silence where there is too little data.

Two questions are kept apart. Over **images**, with the networks as they are: would other images of this kind give the
same? Bootstrap intervals and permutation tests answer it, and speak of *these trained networks*. Over **seeds**: would
training again? Student's t answers it. What is said of methods needs both at once: `pipeline.reporting.claims`.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from datransnet.metrics import ratio, terms

LEVEL = 0.95
RESAMPLES = 10_000
"""With 2,000 the ends of an interval moved by a tenth of its width from one draw to the next."""
LEAST_IMAGES = 80
"""Below this many test images no interval and no test over images: from there on `benchmarks.coverage` finds 93 % or
more of the intervals right; with 50 images it was 92.5 % for IoU."""
LEAST_SEEDS = 3
"""Below this many seeds no interval over seeds: two values say nothing about their spread."""

Counted = Mapping[str, Sequence[float]]
"""Counts of one run, image by image (see `datransnet.metrics.Counts`)."""

Values = npt.NDArray[np.float64]
Terms = tuple[Values, Values]
"""Numerator and denominator of a metric that is a ratio of sums over images, seeds × images each."""
TermsOf = Callable[[Mapping[str, Any]], Mapping[str, Terms]]
"""What makes terms of counts: `datransnet.metrics.terms`, or `datransnet.metrics.hierarchical_terms`."""


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
    """Trained networks against others on the same images; NaN where there is too little data for a claim.

    It says nothing of networks that would be trained again.

    Attributes:
        change: of the metric, second minus first, of the means over seeds.
        low: lower end of the bootstrap interval over images of the change.
        high: its upper end.
        p: of the permutation test over images that the two are alike, two-sided.
    """

    change: float
    low: float
    high: float
    p: float


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


def proportion(hits: float, number: int, method: Literal["wilson", "exact"] = "wilson") -> tuple[float, float]:
    """Wilson's or the exact (Clopper-Pearson) interval of a proportion; hits may be a mean over seeds.

    >>> [[round(end, 3) for end in proportion(9, 10, method)] for method in ("wilson", "exact")]
    [[0.596, 0.982], [0.555, 0.997]]
    """
    interval = stats.binomtest(round(hits), number).proportion_ci(LEVEL, method=method)
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


def gather(runs: Sequence[Counted], metric: str, terms_of: TermsOf = terms) -> Terms:
    """Terms of a metric from each seed's counts on the same images, seeds × images."""
    found = [terms_of({name: np.asarray(column) for name, column in run.items()})[metric] for run in runs]
    above, below = (np.stack(each).astype(np.float64) for each in zip(*found, strict=True))
    return above, below


def estimates(runs: Sequence[Counted], metrics: Sequence[str], terms_of: TermsOf = terms) -> dict[str, Estimate]:
    """Estimates of some metrics from each seed's counts, on the same images."""
    strata, found = _strata(runs[0]), {}
    for metric in metrics:
        seeds = gather(runs, metric, terms_of)
        mean, half_width = over_seeds(ratio(*seeds).tolist())
        low, high = _interval(strata, partial(_mean, seeds))
        found[metric] = Estimate(mean, len(runs), half_width, low, high)
    return found


def compare_networks(first: Sequence[Counted], second: Sequence[Counted], metric: str) -> Comparison:
    """Compare trained networks, both with the counts of as many seeds, on the same images.

    The permutation test exchanges the two sides' counts image by image, all seeds of an image together.
    """
    one, other = (gather(runs, metric) for runs in (first, second))
    number = one[0].shape[1]
    change = float(ratio(*other).mean() - ratio(*one).mean())
    low, high = _interval(_strata(first[0]), lambda index: _mean(other, index) - _mean(one, index))
    p = float("nan")
    if number >= LEAST_IMAGES:
        both = np.concatenate([one[0], other[0]], axis=1), np.concatenate([one[1], other[1]], axis=1)
        p = float(
            stats.permutation_test(
                (np.arange(number), number + np.arange(number)),
                lambda a, b, axis: _mean(both, b) - _mean(both, a),
                permutation_type="samples",
                vectorized=True,
                n_resamples=RESAMPLES,
                batch=200,
                rng=np.random.default_rng(0),
            ).pvalue
        )
    return Comparison(change, low, high, p)


def change_without(runs: Sequence[Counted], kept: npt.NDArray[np.bool_], metric: str) -> Comparison:
    """What leaving images out changes of a model's metric: on the kept images, minus on all.

    The interval is a paired one: a resample draws from all images, and both values are of what it drew. There is no
    test, since nothing could be exchanged.

    Args:
        runs: counts of each seed.
        kept: whether each image is kept.
        metric: a name of `datransnet.metrics.terms`.
    """
    every = gather(runs, metric)
    some = every[0] * kept, every[1] * kept
    change = float(ratio(*some).mean() - ratio(*every).mean())
    low, high = _interval(_strata(runs[0]), lambda index: _mean(some, index) - _mean(every, index))
    return Comparison(change, low, high, float("nan"))


def _mean(seeds: Terms, index: npt.NDArray[np.int64]) -> Values:
    """Mean over seeds of a metric on the images of an index, whose last axis is the images."""
    above, below = seeds
    return np.asarray(ratio(above[:, index], below[:, index]).mean(axis=0))


def _strata(run: Counted) -> list[npt.NDArray[np.int64]]:
    """Images with targets and those without, which resamples draw apart; all together where either are too few."""
    occupied = np.asarray(run["targets"]) > 0
    strata = [np.flatnonzero(occupied), np.flatnonzero(~occupied)]
    return strata if min(map(len, strata)) > 1 else [np.arange(len(occupied))]


def _interval(
    strata: Sequence[npt.NDArray[np.int64]], statistic: Callable[[npt.NDArray[np.int64]], Values]
) -> tuple[float, float]:
    """Bootstrap interval over images of a statistic of an index, BCa.

    NaN where nothing varies: that all targets of a sample are found does not say that no target is ever missed.
    The level is raised by what Student's t is wider than the normal distribution, since a resample spreads too little
    by a factor of the square root of (n - 1) / n (Hesterberg, What Teachers Should Know About the Bootstrap, 2015).
    """
    number = sum(map(len, strata))
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
