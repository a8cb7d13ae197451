"""What became of each target: found or missed, with what made it easy or hard."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from datransnet.components import components
from datransnet.metrics.counts import Mask, Scores, validate
from datransnet.metrics.matching import match

SURROUND = 3
"""A target's background is a window this many times its bounding box, at least 3 pixels more on each side, without
targets."""


@dataclass(frozen=True)
class TargetRecord:
    """One target of a mask.

    Attributes:
        row: of its centroid, in pixels.
        column: of its centroid, in pixels.
        pixels: of its mask.
        scr: signal-to-clutter ratio: the brightest pixel minus the mean of the background, divided by the background's
            standard deviation, which counts as at least one of 256 grey levels, because the image is rounded to those.
        distance: from its centroid to that of the nearest predicted component, in pixels; infinite if nothing is
            predicted.
        detected: whether a predicted component detects it (see `datransnet.metrics.matching`).
    """

    row: float
    column: float
    pixels: int
    scr: float
    distance: float
    detected: bool


def target_records(
    scores: Scores, mask: Mask, image: npt.NDArray[np.uint8], threshold: float = 0.5
) -> list[TargetRecord]:
    """Every target of an image, in raster order, under the convention ``basicirstd``.

    Args:
        scores: H×W in [0, 1].
        mask: H×W, nonzero on targets.
        image: H×W grey levels.
        threshold: scores strictly above it are predicted.

    Raises:
        DataError: if scores and mask do not fit each other or the scores' range.

    >>> image = np.zeros((20, 20), dtype=np.uint8); image[4, 5] = 90
    >>> target_records(image / 100, image > 0, image)
    [TargetRecord(row=4.0, column=5.0, pixels=1, scr=90.0, distance=0.0, detected=True)]
    """
    truth = validate(scores, mask)
    targets, found = components(truth), components(scores > threshold)
    owner = match(targets, found)
    records = []
    for index, (rows, columns) in enumerate(ndimage.find_objects(targets.labels)):
        centroid = targets.centroids[index]
        margins = [SURROUND // 2 * (part.stop - part.start) for part in (rows, columns)]
        around = tuple(
            slice(max(0, part.start - max(margin, 3)), part.stop + max(margin, 3))
            for part, margin in zip((rows, columns), margins, strict=True)
        )
        background = image[around][~truth[around]].astype(np.float64)
        peak = float(image[rows, columns][targets.labels[rows, columns] == index + 1].max())
        level, clutter = (float(background.mean()), float(background.std())) if background.size else (0.0, 0.0)
        distances = np.sqrt(((found.centroids - centroid) ** 2).sum(axis=1))
        records.append(
            TargetRecord(
                row=float(centroid[0]),
                column=float(centroid[1]),
                pixels=int(targets.areas[index]),
                scr=(peak - level) / max(clutter, 1.0),
                distance=float(distances.min(initial=np.inf)),
                detected=bool(owner[index] >= 0),
            )
        )
    return records
