"""What a search of so many trials finds: a tuning curve with a band that holds for any distribution.

The best of k draws is at most y with probability F(y)ᵏ, so the median of the best of k is F's quantile at 0.5^(1/k). A
band around F thus gives a band around the whole curve. The band is Kolmogorov and Smirnov's, whose coverage is exact
whatever continuous distribution the draws have, and which ties only widen. Source: Lourie, Cho and He, "Show Your Work
with Confidence", NAACL 2024, arXiv 2311.09480.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TuningCurve:
    """A tuning curve at some numbers of trials K.

    Attributes:
        numbers: of trials, (K,).
        low: lower end of the band, (K,), in [0, 1].
        median: of the best of so many trials, (K,).
        high: upper end of the band, (K,).
    """

    numbers: Values
    low: Values
    median: Values
    high: Values


def tuning_curve(values: Sequence[float], numbers: Sequence[float], confidence: float = 0.95) -> TuningCurve:
    """The tuning curve of independent draws.

    Args:
        values: what N draws were worth, in [0, 1].
        numbers: of trials, positive.
        confidence: probability that the band holds the whole curve.

    >>> curve = tuning_curve([0.2, 0.5, 0.6, 0.7], [1, 4])
    >>> curve.low.tolist(), curve.median.tolist(), curve.high.tolist()
    ([0.0, 0.2], [0.5, 0.7], [1.0, 1.0])
    """
    wanted = np.asarray(numbers, dtype=np.float64)
    ordered = np.concatenate([[0.0], np.sort(np.asarray(values, dtype=np.float64)), [1.0]])
    share = np.arange(len(values) + 1) / len(values)
    half = float(stats.kstwo(len(values)).ppf(confidence))

    def quantiles(cumulative: Values) -> Values:
        reached = 0.5 ** (1 / wanted)[:, None] <= np.append(np.clip(cumulative, 0, 1), 1.0)
        found: Values = ordered[reached.argmax(axis=1)]
        return found

    return TuningCurve(wanted, quantiles(share + half), quantiles(share), quantiles(share - half))
