"""The metrics of a set of images under one convention."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from datransnet.metrics.conventions import convention_named
from datransnet.metrics.counts import COUNT_FIELDS, Counts, Mask, Scores, count

Column = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """Metrics pooled over images; NaN where undefined (no target at all, nothing predicted).

    Attributes:
        iou: Σ intersection / Σ union of pixels (papers print it as mIoU).
        niou: mean over images with a target of the image's IoU.
        pixel_acc: Σ intersection / Σ labelled pixels (a recall, despite its name).
        precision: pixels, of the convention's prediction.
        recall: pixels, of the convention's prediction.
        f1: harmonic mean of the two.
        pd: detected targets / targets.
        fa: false-alarm pixels / pixels (tables print it × 1e6).
        alarms_per_image: unused components / images.
        n_images: images.
        n_targets: components of the masks.
        n_detected: targets detected.
        n_empty: images without a target; they count in fa and the pooled pixels only.
    """

    iou: float
    niou: float
    pixel_acc: float
    precision: float
    recall: float
    f1: float
    pd: float
    fa: float
    alarms_per_image: float
    n_images: int
    n_targets: int
    n_detected: int
    n_empty: int


def terms(columns: Mapping[str, Column]) -> dict[str, tuple[Values, Values]]:
    """What each image adds to the numerator and the denominator of each real-valued metric of `Score`, (…, N) each.

    Every metric is a ratio of two sums over images, so resamples, intervals and tests need nothing else.
    """
    predicted = columns["true_positive"] + columns["false_positive"]
    occupied = columns["targets"] > 0
    pairs = {
        "iou": (columns["intersection"], columns["union"]),
        "niou": (occupied * columns["intersection"] / np.maximum(columns["union"], 1), occupied),
        "pixel_acc": (columns["intersection"], columns["labelled"]),
        "precision": (columns["true_positive"], predicted),
        "recall": (columns["true_positive"], columns["labelled"]),
        "f1": (2 * columns["true_positive"], predicted + columns["labelled"]),
        "pd": (columns["detected"], columns["targets"]),
        "fa": (columns["false_alarm"], columns["pixels"]),
        "alarms_per_image": (columns["alarms"], np.ones_like(columns["alarms"])),
    }
    return {name: (above.astype(np.float64), below.astype(np.float64)) for name, (above, below) in pairs.items()}


def ratio(above: Values, below: Values) -> Values:
    """A metric from its terms, whose last axis is the images; NaN where the denominator is zero."""
    upper, lower = above.sum(axis=-1), below.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(lower > 0, upper / lower, np.nan)


def ratios(columns: Mapping[str, Column]) -> dict[str, Values]:
    """The real-valued metrics of `Score` from counts whose last axis is the images: (…, N) → (…)."""
    return {name: ratio(*each) for name, each in terms(columns).items()}


def summarise(columns: Mapping[str, Column]) -> Score:
    """Metrics from counts as columns, one row an image (see `Counts` for the names)."""
    targets = columns["targets"]
    return Score(
        **{name: float(value) for name, value in ratios(columns).items()},
        n_images=len(targets),
        n_targets=int(targets.sum()),
        n_detected=int(columns["detected"].sum()),
        n_empty=int((targets == 0).sum()),
    )


def as_columns(counts: Sequence[Counts]) -> dict[str, Column]:
    """Counts of N images as columns of length N."""
    table = np.array([astuple(item) for item in counts], dtype=np.int64).reshape(-1, len(COUNT_FIELDS))
    return {name: table[:, index] for index, name in enumerate(COUNT_FIELDS)}


def score(pairs: Iterable[tuple[Scores, Mask]], convention: str = "basicirstd", threshold: float = 0.5) -> Score:
    """Score predictions against masks.

    Args:
        pairs: (scores H×W in [0, 1], mask H×W), consumed once; images may differ in size.
        convention: a name in `CONVENTIONS`.
        threshold: scores strictly above it are predicted.

    Raises:
        ParameterError: if the convention is unknown.
        DataError: if a pair does not fit.

    >>> mask = np.zeros((8, 8)); mask[2:4, 2:4] = 1
    >>> result = score([(0.9 * mask, mask)])
    >>> result.iou, result.pd, result.fa, result.n_targets
    (1.0, 1.0, 0.0, 1)
    """
    rule = convention_named(convention)
    return summarise(as_columns([count(scores, mask, rule, threshold) for scores, mask in pairs]))
