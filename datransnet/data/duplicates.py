"""Images that are, or nearly are, in a dataset twice: frames of one sequence, copies under two names.

Two images are near duplicates if their thumbnails correlate by more than `SIMILAR`. A thumbnail is the image at 32×32
pixels with its large-scale brightness taken out, so that two empty skies with the same gradient are not alike.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from datransnet.data.images import Luminance

SIMILAR = 0.85
"""In SIRST the one pair of frames of the same scene has 0.90, the most alike of all other pairs 0.74."""
SIDE = 32
BACKGROUND = 3.0
"""Standard deviation, in pixels of the thumbnail, of the blur that is taken for large-scale brightness."""
_BLOCK = 2048

Thumbnail = npt.NDArray[np.float32]


def thumbnail(image: Luminance) -> Thumbnail:
    """What is compared of an image: SIDE² numbers of norm 1, or 0 for a flat image."""
    small = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    detail = (small - ndimage.gaussian_filter(small, BACKGROUND)).ravel()
    norm = np.linalg.norm(detail)
    found: Thumbnail = detail / norm if norm > SIDE / 8 else np.zeros_like(detail)
    return found


def near_duplicates(thumbnails: list[Thumbnail]) -> list[tuple[int, int]]:
    """Pairs of indices of nearly identical images: the first of a group, and each other member.

    Two images are of one group if their thumbnails correlate by more than `SIMILAR`, directly or through others. A
    group of N gives N - 1 pairs: N frames of one fixed camera do not give the square of N.
    """
    stacked = np.stack(thumbnails)
    group = np.arange(len(stacked))
    for start in range(0, len(stacked), _BLOCK):
        rows, columns = np.nonzero(stacked[start : start + _BLOCK] @ stacked[start:].T > SIMILAR)
        group = _merged(len(stacked), group[rows + start], group[columns + start])[group]
    first = np.unique(group, return_index=True)[1]
    return [(int(first[label]), place) for place, label in enumerate(group) if first[label] != place]


def groups(number: int, pairs: list[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """The group of each of some images, where a pair puts two into one."""
    return _merged(number, *np.array(pairs, dtype=np.int64).reshape(-1, 2).T)


def _merged(number: int, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(number, number))
    _, labels = connected_components(links, directed=False)
    return np.asarray(labels, dtype=np.int64)
