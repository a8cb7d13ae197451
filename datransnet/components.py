"""Connected components of a binary image: pixels that touch, also at a corner, are one (8-connected)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

EIGHT = np.ones((3, 3), dtype=int)


@dataclass(frozen=True)
class Components:
    """The components of one binary image, in raster order of their first pixel.

    Attributes:
        labels: H×W, 0 for background, i + 1 for component i.
        areas: pixels of each component, (N,).
        centroids: row and column of each, (N, 2).
    """

    labels: npt.NDArray[np.int32]
    areas: npt.NDArray[np.int64]
    centroids: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.areas)


def components(binary: npt.NDArray[np.bool_]) -> Components:
    """Label the 8-connected components of an H×W image.

    >>> found = components(np.eye(3, dtype=bool))
    >>> found.areas.tolist(), found.centroids.tolist()
    ([3], [[1.0, 1.0]])
    """
    rows, columns = (np.flatnonzero(binary.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return Components(np.zeros(binary.shape, np.int32), np.zeros(0, np.int64), np.zeros((0, 2)))
    # Targets are small: only the window that holds all of them is labelled.
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside, number = ndimage.label(binary[window], structure=EIGHT)
    labels = np.zeros(binary.shape, np.int32)
    labels[window] = inside
    places = np.nonzero(inside)
    owners = inside[places]
    areas = np.bincount(owners, minlength=number + 1)[1:]
    sums = [
        np.bincount(owners, weights=place + start, minlength=number + 1)[1:]
        for place, start in zip(places, (rows[0], columns[0]), strict=True)
    ]
    return Components(labels, areas, np.stack(sums, axis=1) / areas[:, None])
