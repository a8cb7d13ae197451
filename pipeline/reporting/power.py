"""What a study could tell: the least difference between two methods that so many seeds on this test part show."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, stats
from scipy.stats import qmc

from pipeline.reporting.claims import LEAST_TRAININGS, Spread, reaches, standard_error
from pipeline.reporting.statistics import LEVEL, Values

POWER = 0.8
"""Chance of telling a difference that is called tellable."""
DRAWS = 2**12
"""Studies that are imagined. What they are depends on nothing but this number."""


def power(change: float, spread: Spread, seeds: int, images: int, tests: int = 1) -> float:
    """Chance that `difference` of two methods has p ≤ 5 %, if their metrics really differ by ``change``.

    Averaged over what a study would find for the parts of the spread: with few seeds that varies much, and a formula
    with the true spread promises up to seven points more than is kept.

    Args:
        change: the true difference.
        spread: where the variance of the difference comes from, as a finished study shows it.
        seeds: trainings of each method.
        images: of the test part.
        tests: number of comparisons that 5 % is divided among, as Holm's correction does at its first step.

    >>> spread = Spread(first=1e-4, second=1e-4, images=0.0)
    >>> [round(power(change, spread, 5, 100), 2) for change in (0.0, 0.01, 0.03)]
    [0.04, 0.26, 0.98]
    """
    error, _ = standard_error(spread, (seeds, seeds), images)
    if error == 0:
        return float(change != 0)
    return _told(change / error, _reaches(spread, seeds, images, tests) / error)


def _reaches(spread: Spread, seeds: int, images: int, tests: int) -> Values:
    """How large a change has to be for each imagined study to tell it, (DRAWS,)."""
    uniform = qmc.Sobol(3, scramble=True, rng=np.random.default_rng(0)).random(DRAWS)
    degrees = np.array([seeds - 1, seeds - 1, images - 1])
    factors = stats.chi2.ppf(uniform, degrees) / degrees
    found = Spread(*(factors.T * np.array([[spread.first], [spread.second], [spread.images]])))
    return np.asarray(reaches(found, (seeds, seeds), images, 1 - (1 - LEVEL) / tests))


def _told(shift: float, reach: Values) -> float:
    """Share of imagined studies that tell a change; both are in standard errors."""
    return float((stats.norm.sf(reach - shift) + stats.norm.cdf(-reach - shift)).mean())


def least_difference(spread: Spread, seeds: int, images: int, tests: int = 1) -> float:
    """The least difference of a metric that is told in `POWER` of all studies; NaN below `LEAST_TRAININGS`.

    >>> spread = Spread(first=1e-4, second=1e-4, images=0.0)
    >>> [round(least_difference(spread, seeds, 100), 4) for seeds in (2, 3, 5, 20)]
    [nan, 0.0351, 0.0208, 0.0091]
    """
    if seeds < LEAST_TRAININGS:
        return math.nan
    error = float(standard_error(spread, (seeds, seeds), images)[0])
    if error == 0:
        return 0.0
    reach = _reaches(spread, seeds, images, tests) / error
    return error * float(optimize.brentq(lambda shift: _told(shift, reach) - POWER, 0, 10 + reach.max()))


def seeds_needed(change: float, spread: Spread, images: int, choices: Sequence[int], tests: int = 1) -> int | None:
    """The first of some numbers of seeds that tells a difference of ``change``; None if none of them does."""
    for seeds in choices:
        if seeds >= LEAST_TRAININGS and power(change, spread, seeds, images, tests) >= POWER:
            return seeds
    return None


def resolution(spread: Spread, images: int, seeds: float = math.inf) -> float:
    """The least difference that a test part tells of networks trained ``seeds`` times, their spread over seeds known.

    With infinitely many seeds it is what images alone allow: no study on this test part tells less.
    """
    of_images = spread.images + (0.0 if math.isinf(seeds) else (spread.first + spread.second) / seeds)
    return math.sqrt(of_images) * float(stats.t.isf((1 - LEVEL) / 2, images - 1) + stats.norm.ppf(POWER))
