"""Scores as levels: what a histogram of them, and a stored score map, tell apart.

A trained network is sure of most pixels: more than half of its target pixels score within 1e-5 of 1, and where the
false-alarm rate is low enough to be of use, a threshold lies among them. Equal steps of the score would put all of
these into one bin. A level is a logit in half precision: 11 significant bits of the odds, however close to 0 or 1 a
score is.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

LEVELS = 2**16
"""Number of levels: one for each bit pattern of a half-precision number. Those that are NaN stay empty."""

SIGN = 0x8000


def to_logits(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float16]:
    """Logits of scores in [0, 1] in half precision; those of 0 and 1 are infinite.

    >>> to_logits(np.array([0.0, 0.5, 0.9, 1 - 1e-12])).tolist()
    [-inf, 0.0, 2.197265625, 27.625]
    """
    with np.errstate(over="ignore"):
        return (logit(scores.astype(np.float64)) + 0.0).astype(np.float16)


def to_scores(logits: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
    """Scores of such logits, in double precision: in single, all above a logit of 17 were 1.

    >>> to_scores(to_logits(np.array([0.0, 0.5, 1.0]))).tolist()
    [0.0, 0.5, 1.0]
    """
    scores: npt.NDArray[np.float64] = expit(logits.astype(np.float64))
    return scores


def level_of(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """The level of each score, from 0 to `LEVELS` - 1, rising with it."""
    bits = to_logits(scores).view(np.uint16).astype(np.int64)
    return np.where(bits & SIGN, LEVELS - 1 - bits, bits | SIGN)


def score_of_level() -> npt.NDArray[np.float64]:
    """The score of every level, (`LEVELS`,); NaN where none belongs to it."""
    level = np.arange(LEVELS)
    bits = np.where(level & SIGN, level & ~SIGN, LEVELS - 1 - level)
    return to_scores(bits.astype(np.uint16).view(np.float16))
