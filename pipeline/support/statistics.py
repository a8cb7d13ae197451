"""Intervals: over seeds by Student's t, over test images by bootstrap. All 95 %."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from datransnet.metrics import COUNT_FIELDS, ratios

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A metric over seeds and images.

    Attributes:
        mean: over seeds.
        seeds: number of seeds.
        half_width: of Student's t interval over seeds; NaN for one seed, wide for two, as it should be.
        low: lower end of the bootstrap interval over images of the mean over seeds.
        high: its upper end.
    """

    mean: float
    seeds: int
    half_width: float
    low: float
    high: float


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its t interval.

    >>> mean, half_width = over_seeds([0.60, 0.64])
    >>> round(mean, 3), round(half_width, 3)
    (0.62, 0.254)
    """
    mean = float(np.mean(values))
    if len(values) < 2:
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


def estimates(runs: Sequence[Mapping[str, Sequence[int]]], metrics: Sequence[str]) -> dict[str, Estimate]:
    """Estimates of some metrics from each seed's counts, image by image (see `datransnet.metrics.Counts`)."""
    columns = [{name: np.asarray(run[name]) for name in COUNT_FIELDS} for run in runs]
    found = {}
    for metric in metrics:

        def mean_of(index: np.ndarray, axis: int = -1, metric: str = metric) -> np.ndarray:
            resampled = ({name: column[index] for name, column in seed.items()} for seed in columns)
            return np.asarray(np.mean([ratios(seed)[metric] for seed in resampled], axis=0))

        images = np.arange(len(columns[0]["pixels"]))
        mean, half_width = over_seeds([float(ratios(seed)[metric]) for seed in columns])
        low = high = float("nan")
        if len(images) > 1:
            interval = stats.bootstrap(
                (images,),
                mean_of,
                n_resamples=RESAMPLES,
                batch=200,
                vectorized=True,
                confidence_level=LEVEL,
                method="percentile",
                rng=np.random.default_rng(0),
            ).confidence_interval
            low, high = float(interval.low), float(interval.high)
        found[metric] = Estimate(mean, len(runs), half_width, low, high)
    return found
