"""What may be claimed of two methods from their trainings: a difference over seeds and over images at once.

A method is a recipe that is trained again and meets other images, so both are part of the chance. Each training of a
method is scored on the same images: a two-way layout of seeds by images, seeds nested in methods and images crossed
with both. Its analysis of variance says how much of the spread comes from where.

The estimator is that of multi-reader studies in radiology, where readers are what seeds are here (Obuchowski and
Rockette 1995; Hillis 2007), with Satterthwaite's degrees of freedom. Why this one: docs/decisions/0011-claims.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from pipeline.reporting.statistics import LEAST_IMAGES, LEVEL, Terms, Values

LEAST_TRAININGS = 3
"""Trainings of each method below which nothing is claimed of methods. From here on `benchmarks.claims` finds the test
at 5 % wrong in at most 6 % of the cases on methods that are alike."""


@dataclass(frozen=True)
class Spread:
    """Where the variance of a change between two methods comes from.

    Attributes:
        first: variance over seeds of the first method's metric on these images.
        second: the same of the second.
        images: variance of the change that other images would bring, training apart; 0 where none is seen.
    """

    first: float
    second: float
    images: float


@dataclass(frozen=True)
class Difference:
    """A second method against a first, over seeds and images; NaN where there is too little data for a claim.

    Attributes:
        change: of the metric, second minus first, of the means over seeds.
        low: lower end of the 95 % interval of the change.
        high: its upper end.
        p: of the t test that the methods are alike, two-sided.
        seeds: trainings of the method that has fewer.
        spread: where the variance comes from.
    """

    change: float
    low: float
    high: float
    p: float
    seeds: int
    spread: Spread


def difference(first: Terms, second: Terms) -> Difference:
    """Compare two methods by a metric that is a ratio of sums over images.

    Args:
        first: numerator and denominator of the metric, seeds × images each; seeds need not be as many as the other's.
        second: the same of the other method, on the same images in the same order.

    >>> rng = np.random.default_rng(0)
    >>> below = np.full((4, 100), 20.0)
    >>> one, other = (below * (quality + 0.01 * rng.normal(size=(4, 1))) for quality in (0.7, 0.8))
    >>> found = difference((one, below), (other, below))
    >>> round(found.change, 2), found.low > 0.05, found.p < 0.01
    (0.1, True, True)
    """
    values = per_image(*first), per_image(*second)
    spread = spread_of(*values)
    change = float(values[1].mean() - values[0].mean())
    seeds, images = min(map(len, values)), values[0].shape[1]
    if seeds < LEAST_TRAININGS or images < LEAST_IMAGES:
        return Difference(change, math.nan, math.nan, math.nan, seeds, spread)
    trained = len(values[0]), len(values[1])
    error, degrees = standard_error(spread, trained, images)
    if error == 0:
        return Difference(change, change, change, float(change == 0), seeds, spread)
    reach = float(reaches(spread, trained, images, LEVEL))
    p = 2 * float(stats.t.sf(abs(change) / error, degrees))
    return Difference(change, change - reach, change + reach, p, seeds, spread)


def per_image(above: Values, below: Values) -> Values:
    """Values of a ratio of sums, seeds × images, whose mean over images is the ratio itself.

    Each is the ratio plus the image's influence on it (the delta method), so their spread over images is its spread.
    """
    total = below.sum(axis=1, keepdims=True)
    ratio = above.sum(axis=1, keepdims=True) / total
    return np.asarray(ratio + below.shape[1] / total * (above - ratio * below))


def spread_of(first: Values, second: Values) -> Spread:
    """Where the variance of the difference of two layouts of seeds × images comes from.

    With one seed of a method its variance over seeds is NaN, and that over images holds what belongs to the seed.
    """
    images = first.shape[1]
    change = second.mean(axis=0) - first.mean(axis=0)
    left = sum(_residual(values) / len(values) for values in (first, second))
    one, other = (float(values.mean(axis=1).var(ddof=1)) if len(values) > 1 else math.nan for values in (first, second))
    return Spread(one, other, max(0.0, float(change.var(ddof=1) - left) / images))


def _residual(values: Values) -> float:
    """Mean square of what neither seed nor image explains in seeds × images; 0 with one seed, where nothing can."""
    seeds, images = values.shape
    if seeds == 1:
        return 0.0
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float((left**2).sum() / ((seeds - 1) * (images - 1)))


def standard_error(spread: Spread, seeds: tuple[int, int], images: int) -> tuple[Any, Any]:
    """Standard error of the change with so many seeds of each method on so many images, and its degrees of freedom.

    Both are arrays where the parts of the spread are.
    """
    parts = np.array([spread.first / seeds[0], spread.second / seeds[1], spread.images])
    of_part = np.array([seeds[0] - 1, seeds[1] - 1, images - 1])
    variance = parts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.where(variance > 0, variance**2 / (parts.T**2 / of_part).T.sum(axis=0), np.inf)
    return np.sqrt(variance), degrees


def reaches(spread: Spread, seeds: tuple[int, int], images: int, level: float) -> Any:
    """Half width of the interval of that level; a change beyond it is told. An array where the spread's parts are."""
    error, degrees = standard_error(spread, seeds, images)
    return stats.t.ppf((1 + level) / 2, degrees) * error


def mean_spread(spreads: Sequence[Spread]) -> Spread:
    """One spread for all changes of a study: the mean of the parts that are known, both methods alike."""
    of_seeds = float(np.nanmean([part for spread in spreads for part in (spread.first, spread.second)]))
    return Spread(of_seeds, of_seeds, float(np.mean([spread.images for spread in spreads])))
