"""What one image contributes: integer counts that add up over images, so every metric is a ratio of sums."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from datransnet.errors import DataError
from datransnet.metrics.components import components, match
from datransnet.metrics.conventions import Convention

Scores = npt.NDArray[np.floating]
Mask = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Counts:
    """Counts of one image under one convention, all in pixels unless named otherwise.

    Attributes:
        intersection: of the prediction at 0.5 and the mask.
        union: of the prediction at 0.5 and the mask.
        labelled: of the mask.
        true_positive: of the convention's prediction.
        false_positive: of the convention's prediction.
        targets: components of the mask (a number).
        detected: targets that a component detects (a number).
        false_alarm: of unused components, as the convention counts them.
        pixels: of the image.
    """

    intersection: int
    union: int
    labelled: int
    true_positive: int
    false_positive: int
    targets: int
    detected: int
    false_alarm: int
    pixels: int


COUNT_FIELDS = tuple(field.name for field in fields(Counts))


def validate(scores: Scores, mask: Mask) -> npt.NDArray[np.bool_]:
    """The mask as booleans.

    Raises:
        DataError: if the pair is not H×W each, or the scores are not finite or outside [0, 1].
    """
    if scores.ndim != 2 or scores.shape != mask.shape:
        raise DataError(f"Scores and mask must be H×W and equal in shape, not {scores.shape} and {mask.shape}.")
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):  # False for NaN too
        raise DataError("Scores must lie in [0, 1] and be finite; apply the sigmoid to logits first.")
    return mask.astype(bool)


def scaled_by_maximum(scores: Scores) -> Scores:
    """Scores over their maximum. An all-zero map stays zero: the released script's 0/0 falls to "no detection" too."""
    top = scores.max(initial=0)
    return scores if top == 0 else scores / top


def count(scores: Scores, mask: Mask, convention: Convention, threshold: float = 0.5) -> Counts:
    """Count one image.

    Args:
        scores: H×W in [0, 1].
        mask: H×W, nonzero on targets.
        convention: see `datransnet.metrics.conventions`.
        threshold: scores strictly above it are predicted.

    Raises:
        DataError: if scores and mask do not fit each other or the scores' range.
    """
    truth = validate(scores, mask)
    plain = scores > threshold
    binary = scaled_by_maximum(scores) > threshold if convention.scaled else plain
    targets, found = components(truth), components(binary)
    owner = match(targets, found)
    used = owner[owner >= 0]
    unused = np.delete(found.areas, used)
    if convention.fa == "areas":
        unused = unused[~np.isin(unused, found.areas[used])]
    return Counts(
        intersection=int((plain & truth).sum()),
        union=int((plain | truth).sum()),
        labelled=int(truth.sum()),
        true_positive=int((binary & truth).sum()),
        false_positive=int((binary & ~truth).sum()),
        targets=len(targets),
        detected=len(used),
        false_alarm=int(unused.sum()),
        pixels=truth.size,
    )
