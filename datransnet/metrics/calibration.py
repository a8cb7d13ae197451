"""Whether a score means what it says: of the pixels scored 0.8, are four in five target?"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datransnet.metrics.logit_levels import score_of_level

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Reliability over B bins of equal width, and the expected calibration error.

    Attributes:
        pixels: in each bin, (B,).
        score: mean score in each bin, (B,), NaN in empty ones.
        share: of target pixels in each bin, (B,), NaN in empty ones.
        ece: mean of |share - score| over all pixels, in [0, 1]; tiny here, since nearly all pixels are sure background.
        ece_candidates: the same over the pixels outside the lowest bin, those that could be a target; NaN if none is.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), equation 3, for the target class.
    """

    pixels: npt.NDArray[np.int64]
    score: Values
    share: Values
    ece: float
    ece_candidates: float


def calibration(histogram: npt.NDArray[np.int64], bins: int = 15) -> Calibration:
    """Calibration from background and target pixels by level of their score (see `CurveCounts`), (2, LEVELS).

    >>> from datransnet.metrics import evaluate
    >>> scores, mask = np.repeat([[0.0, 1.0]], [90, 10], axis=1), np.repeat([[0, 1]], [95, 5], axis=1)
    >>> found = calibration(evaluate([(scores, mask)]).curve_counts.histogram, bins=2)
    >>> found.share.tolist(), found.ece, found.ece_candidates
    ([0.0, 0.5], 0.05, 0.5)
    """
    scores = np.nan_to_num(score_of_level())
    owner = np.minimum((scores * bins).astype(np.int64), bins - 1)
    every = histogram.sum(axis=0)
    pixels, total, inside = (
        np.bincount(owner, weights, bins) for weights in (every, every * scores, histogram[1].astype(np.float64))
    )
    with np.errstate(invalid="ignore"):
        score, share = total / pixels, inside / pixels
    errors = np.abs(inside - total)
    candidates = pixels[1:].sum()
    return Calibration(
        pixels=pixels.astype(np.int64),
        score=score,
        share=share,
        ece=float(errors.sum() / pixels.sum()) if pixels.sum() else float("nan"),
        ece_candidates=float(errors[1:].sum() / candidates) if candidates else float("nan"),
    )
