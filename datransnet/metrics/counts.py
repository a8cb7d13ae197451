"""What one image contributes: integer counts that add up over images, so every metric is a ratio of sums."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from datransnet.components import Components, components
from datransnet.errors import DataError
from datransnet.metrics.conventions import Convention
from datransnet.metrics.matching import match

Scores = npt.NDArray[np.floating]
Mask = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Counts:
    """Counts of one image under one convention. A component is unused if it detects no target.

    Attributes:
        intersection: pixels in both the prediction and the mask; from unscaled scores under every convention.
        union: pixels in the prediction or the mask; from unscaled scores under every convention.
        labelled: target pixels of the mask.
        true_positive: target pixels in the convention's prediction.
        false_positive: background pixels in the convention's prediction.
        targets: number of components of the mask.
        detected: number of targets that a predicted component detects.
        false_alarm: pixels of the unused predicted components, as the convention counts them.
        alarms: number of those components.
        pixels: all pixels of the image.
    """

    intersection: int
    union: int
    labelled: int
    true_positive: int
    false_positive: int
    targets: int
    detected: int
    false_alarm: int
    alarms: int
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

    >>> from datransnet.metrics import CONVENTIONS
    >>> count(np.array([[0.9, 0.1, 0.0, 0.8]]), np.array([[1, 1, 0, 0]]), CONVENTIONS["basicirstd"]).intersection
    1
    """
    truth = validate(scores, mask)
    return count_each(scores, truth, components(truth), [convention], threshold)[0]


def count_each(
    scores: Scores,
    truth: npt.NDArray[np.bool_],
    targets: Components,
    conventions: Sequence[Convention],
    threshold: float,
) -> list[Counts]:
    """Count one validated image under several conventions; each prediction is labelled once."""
    plain = scores > threshold
    intersection, union, labelled = (int(np.count_nonzero(part)) for part in (plain & truth, plain | truth, truth))
    predictions = {}
    for scaled in {convention.scaled for convention in conventions}:
        binary = scaled_by_maximum(scores) > threshold if scaled else plain
        predicted = components(binary)
        hits = int(np.count_nonzero(binary & truth))
        predictions[scaled] = predicted, match(targets, predicted), hits, int(np.count_nonzero(binary)) - hits
    counts = []
    for convention in conventions:
        predicted, owner, true_positive, false_positive = predictions[convention.scaled]
        used = owner[owner >= 0]
        unused = np.delete(predicted.areas, used)
        if convention.fa == "areas":
            unused = unused[~np.isin(unused, predicted.areas[used])]
        counts.append(
            Counts(
                intersection=intersection,
                union=union,
                labelled=labelled,
                true_positive=true_positive,
                false_positive=false_positive,
                targets=len(targets),
                detected=len(used),
                false_alarm=int(unused.sum()),
                alarms=len(unused),
                pixels=truth.size,
            )
        )
    return counts
