"""What one image contributes: integer counts that add up over images, so every metric is a ratio of sums."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy import ndimage

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
        intersection: pixels in both the prediction and the mask; from unscaled scores unless the convention says else.
        union: pixels in the prediction or the mask; from the same scores.
        labelled: target pixels of the mask.
        true_positive: target pixels in the convention's prediction.
        false_positive: background pixels in the convention's prediction.
        targets: number of components of the mask.
        detected: number of targets that a predicted component detects.
        false_alarm: false-alarm pixels, as the convention counts them.
        alarms: number of the unused components that they are of.
        pixels: those that a false alarm is a share of: all of the image, or its background.
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


def widened(binary: npt.NDArray[np.bool_], pixels: int) -> npt.NDArray[np.bool_]:
    """Where a pixel of a binary H×W image is at most some rows and columns away.

    >>> widened(np.array([[0, 0, 0, 1]], dtype=bool), 1).tolist()
    [[False, False, True, True]]
    """
    return binary if pixels == 0 else np.asarray(ndimage.maximum_filter(binary, 2 * pixels + 1, mode="constant"))


def white(mask: Mask) -> npt.NDArray[np.bool_]:
    """Where a mask is white: at least 1 in one of floating-point numbers, shares of white; not 0 in any other."""
    return mask.astype(np.float64) >= 1 if mask.dtype.kind == "f" else mask.astype(bool)


def count(scores: Scores, mask: Mask, convention: Convention, threshold: float = 0.5) -> Counts:
    """Count one image.

    Args:
        scores: H×W in [0, 1].
        mask: H×W, nonzero on targets; floating-point numbers are shares of white (see `Convention`, ``grey``).
        convention: see `datransnet.metrics.conventions`.
        threshold: scores strictly above it are predicted.

    Raises:
        DataError: if scores and mask do not fit each other or the scores' range.

    >>> from datransnet.metrics import CONVENTIONS
    >>> count(np.array([[0.9, 0.1, 0.0, 0.8]]), np.array([[1, 1, 0, 0]]), CONVENTIONS["basicirstd"]).intersection
    1
    """
    truth = validate(scores, mask)
    return count_each(scores, truth, components(truth), [convention], threshold, white(mask))[0]


@dataclass(frozen=True)
class _Prediction:
    """A binary prediction beside the targets of its image."""

    binary: npt.NDArray[np.bool_]
    found: Components
    owner: npt.NDArray[np.int64]
    true_positive: int
    false_positive: int

    @classmethod
    def of(cls, binary: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], targets: Components) -> "_Prediction":
        found, hits = components(binary), int(np.count_nonzero(binary & truth))
        return cls(binary, found, match(targets, found), hits, int(np.count_nonzero(binary)) - hits)


def count_each(
    scores: Scores,
    truth: npt.NDArray[np.bool_],
    targets: Components,
    conventions: Sequence[Convention],
    threshold: float,
    matching: npt.NDArray[np.bool_] | None = None,
) -> list[Counts]:
    """Count one validated image under several conventions; each prediction is labelled once.

    Args:
        scores: H×W in [0, 1].
        truth: H×W, the mask.
        targets: its components.
        conventions: see `datransnet.metrics.conventions`.
        threshold: scores strictly above it are predicted.
        matching: H×W, where the mask is white; all of it if not given.
    """
    kinds = {each.scaled for each in conventions} | {each.scaled_iou for each in conventions}
    predictions = {
        scaled: _Prediction.of((scaled_by_maximum(scores) if scaled else scores) > threshold, truth, targets)
        for scaled in kinds
    }
    counts = []
    for convention in conventions:
        if not (len(targets) or convention.empty):
            counts.append(Counts(*[0] * len(COUNT_FIELDS)))
            continue
        overlapping, predicted = predictions[convention.scaled_iou].binary, predictions[convention.scaled]
        matched = truth if convention.grey == "target" or matching is None else matching
        intersection = int(np.count_nonzero(overlapping & matched))
        labelled = int(np.count_nonzero(truth))
        detected, alarms, false_alarm = _detections(predicted, targets, convention)
        counts.append(
            Counts(
                intersection=intersection,
                union=int(np.count_nonzero(overlapping)) + labelled - intersection,
                labelled=labelled,
                true_positive=predicted.true_positive,
                false_positive=predicted.false_positive,
                targets=len(targets),
                detected=detected,
                false_alarm=false_alarm,
                alarms=alarms,
                pixels=truth.size - (labelled if convention.over == "background" else 0),
            )
        )
    return counts


def _detections(predicted: _Prediction, targets: Components, convention: Convention) -> tuple[int, int, int]:
    """Targets that are detected, predicted components that detect none, and false-alarm pixels."""
    found = predicted.found
    if convention.fa == "pixels":
        truth = targets.labels > 0
        detected = np.unique(targets.labels[truth & widened(predicted.binary, convention.reach)])
        used = found.labels[predicted.binary & widened(truth, convention.reach)]
        false = found.labels[predicted.binary & ~widened(truth, convention.margin)]
        return len(detected), len(np.setdiff1d(false, used)), len(false)
    used_by = predicted.owner[predicted.owner >= 0]
    unused = np.delete(found.areas, used_by)
    if convention.fa == "areas":
        unused = unused[~np.isin(unused, found.areas[used_by])]
    return len(used_by), len(unused), int(unused.sum())
