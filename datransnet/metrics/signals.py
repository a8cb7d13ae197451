"""Signals of a training that move before its IoU does, because they need no threshold.

A network of this field finds nothing for some epochs: no score is above one half, and the IoU is 0. Its scores order
the pixels long before. See docs/explanation/search.md for how early each signal ranks trainings.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from datransnet.metrics.counts import Mask, Scores
from datransnet.metrics.logit_levels import LEVELS, level_of

TINY = 1e-12
"""Scores are kept this far from 0 and 1 where their logarithm is taken."""


@dataclass(frozen=True)
class Signals:
    """What the scores of a set of images say without a threshold.

    Attributes:
        soft_iou: Σpt / (Σp + Σt − Σpt) over all pixels, of scores p and masks t, in [0, 1]; one minus the paper's loss,
            without its smoothing.
        average_precision: area under precision over recall of all pixels, as steps, in [0, 1].
        cross_entropy: binary, mean over all pixels, in nats; smaller is better.
    """

    soft_iou: float
    average_precision: float
    cross_entropy: float


@dataclass
class SignalSums:
    """What images add to `Signals`; a signal is 0 where its denominator is, as for a set without a target."""

    overlap: float = 0.0
    scored: float = 0.0
    labelled: int = 0
    pixels: int = 0
    entropy: float = 0.0
    levels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, LEVELS), dtype=np.int64))

    def add(self, scores: Scores, mask: Mask) -> None:
        """Add an image: scores H×W in [0, 1], and its mask H×W."""
        truth = mask.astype(bool)
        self.overlap += float(scores[truth].sum())
        self.scored += float(scores.sum())
        self.labelled += int(truth.sum())
        self.pixels += truth.size
        right = np.where(truth, scores, 1 - scores)
        self.entropy -= float(np.log(np.clip(right, TINY, 1)).sum())
        level = level_of(scores)
        for row, where in zip(self.levels, (~truth, truth), strict=True):
            row += np.bincount(level[where], minlength=LEVELS)

    def signals(self) -> Signals:
        """The signals of all images so far.

        >>> sums = SignalSums()
        >>> sums.add(np.array([[0.9, 0.2, 0.6, 0.1]]), np.array([[1, 1, 0, 0]]))
        >>> signals = sums.signals()
        >>> round(signals.soft_iou, 4), round(signals.average_precision, 4), round(signals.cross_entropy, 4)
        (0.4074, 0.8333, 0.6841)
        """
        union = self.scored + self.labelled - self.overlap
        background, target = self.levels[:, ::-1]  # from the highest score down
        predicted = np.cumsum(background + target)
        precision = np.cumsum(target) / np.maximum(predicted, 1)
        return Signals(
            soft_iou=self.overlap / union if union else 0.0,
            average_precision=float(precision @ target) / self.labelled if self.labelled else 0.0,
            cross_entropy=self.entropy / self.pixels if self.pixels else 0.0,
        )
