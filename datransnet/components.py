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
    labels, number = ndimage.label(binary, structure=EIGHT)
    rows, columns = np.nonzero(labels)
    owners = labels[rows, columns]
    areas = np.bincount(owners, minlength=number + 1)[1:]
    sums = [np.bincount(owners, weights=axis, minlength=number + 1)[1:] for axis in (rows, columns)]
    return Components(labels.astype(np.int32), areas, np.stack(sums, axis=1) / areas[:, None])
