"""What stands out from its surroundings: morphology, medians, and the local contrasts.

A cell of size c is a square of c×c pixels; the eight cells around one touch it. Where a window leaves the image, the
edge's pixels are repeated, or there is zero, as each method's public code has it.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

from datransnet.classical.registry import METHODS, Grey

AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""The eight cells around one, by row and column; number i + 4 is opposite to number i."""
LARGEST = 9
"""Pixels of a cell whose mean stands for it in TLLCM and WSLCM."""
TINY_DEVIATION = 5.0
"""What WSLCM takes for the deviation of the surroundings where it is smaller."""


@METHODS.register("tophat")
def top_hat(image: Grey) -> Grey:
    """Image minus its opening with a flat 5×5 square (Tom et al., SPIE 1954, 1993)."""
    found: Grey = ndimage.white_tophat(
        image, size=(5, 5), mode="nearest"
    )  # repeated edges change no minimum or maximum
    return found


@METHODS.register("maxmedian")
def max_median(image: Grey, released: bool = False) -> Grey:
    """Image minus the largest of four directional medians over 15 pixels (Deshpande et al., SPIE 3809, 1999).

    Args:
        image: H×W.
        released: as ISTD-python has it, where the anti-diagonal overwrites the diagonal and 0 is the fourth.
    """
    length = 15
    segments = [np.ones((1, length), bool), np.ones((length, 1), bool), np.eye(length, dtype=bool)[::-1]]
    if not released:
        segments.append(np.eye(length, dtype=bool))
    medians = [ndimage.median_filter(image, footprint=segment, mode="nearest") for segment in segments]
    found: Grey = np.maximum(image - np.maximum(np.max(medians, axis=0), 0.0 if released else -np.inf), 0.0)
    return found


@METHODS.register("lcm")
def local_contrast(image: Grey) -> Grey:
    """The brightest pixel of a cell, squared, over the brightest mean around (Chen et al., TGRS 52, 2013); 4 scales."""
    best = np.zeros_like(image)
    for size in (3, 5, 7, 9):
        reach = size + size // 2
        means = ndimage.uniform_filter(np.pad(image, reach, "edge"), size, mode="nearest")
        brightest = np.max([_shifted(means, reach, size * row, size * column) for row, column in AROUND], axis=0)
        most = ndimage.maximum_filter(image, size, mode="nearest")
        best = np.maximum(best, np.divide(most**2, brightest, out=np.zeros_like(image), where=brightest > 0))
    return best


@METHODS.register("mpcm")
def patch_contrast(image: Grey) -> Grey:
    """The smallest product of differences to opposite cells' means (Wei et al., Pattern Recognition 58, 2016)."""
    best = np.zeros_like(image)
    for size in (3, 5, 7, 9):
        means = ndimage.uniform_filter(image, size, mode="nearest")
        padded = np.pad(means, size, "edge")
        differences = [means - _shifted(padded, size, size * row, size * column) for row, column in AROUND]
        products = [differences[number] * differences[number + 4] for number in range(4)]
        best = np.maximum(best, np.min(products, axis=0))
    return best


@METHODS.register("tllcm")
def three_layer_contrast(image: Grey) -> Grey:
    """A smoothed core against the brightest of eight cells of 9×9 (Han et al., GRSL 17, 2020), at one scale."""
    return _core_contrast(_core(image), np.max(_around(_largest(image, 9), 9), axis=0))


@METHODS.register("wslcm")
def weighted_contrast(image: Grey) -> Grey:
    """TLLCM weighted by how irregular core and surroundings are (Han et al., GRSL 2021); 4 scales."""
    image = ndimage.median_filter(image, 3, mode="constant")
    core, best = _core(image), np.zeros_like(image)
    for size in (5, 7, 9, 11):
        reach = size + size // 2
        means = ndimage.uniform_filter(np.pad(image, reach, "edge"), size, mode="nearest")
        largest = _largest(image, size)
        irregular = largest - means[size // 2 : -(size // 2), size // 2 : -(size // 2)]
        centre = irregular[size:-size, size:-size]
        around = _around(irregular, size)
        deviation = around.std(axis=0, ddof=1)
        deviation[deviation <= TINY_DEVIATION] = TINY_DEVIATION
        weight = centre * np.maximum(centre - around.max(axis=0), 0.0) / deviation
        best = np.maximum(best, weight * _core_contrast(core, np.max(_around(largest, size), axis=0)))
    return best


def _shifted(padded: Grey, margin: int, rows: int, columns: int) -> Grey:
    """The inside of a padded image, moved."""
    height, width = (length - 2 * margin for length in padded.shape)
    return padded[margin + rows : margin + rows + height, margin + columns : margin + columns + width]


def _core(image: Grey) -> Grey:
    """Smoothed with [1 2 1]ᵀ[1 2 1] / 16."""
    binomial = np.array([1.0, 2.0, 1.0]) / 4
    return ndimage.convolve1d(ndimage.convolve1d(image, binomial, 0, mode="nearest"), binomial, 1, mode="nearest")


def _largest(image: Grey, size: int) -> Grey:
    """Mean of the nine largest pixels of each cell, zero outside of the image; (H + 2·size)×(W + 2·size)."""
    windows = sliding_window_view(np.pad(image, size + size // 2), (size, size))
    rows = []
    for row in windows:  # all windows at once would be a hundred images
        cells = row.reshape(len(row), size * size)
        rows.append(np.partition(cells, -LARGEST, axis=1)[:, -LARGEST:].mean(axis=1))
    return np.stack(rows)


def _around(padded: Grey, size: int) -> Grey:
    """What a map that is larger by `size` on each side has in the eight cells around each pixel; 8×H×W."""
    return np.stack([_shifted(padded, size, size * row, size * column) for row, column in AROUND])


def _core_contrast(core: Grey, brightest: Grey) -> Grey:
    """``max(G²/B − G, 0)``, and 0 where B is 0."""
    ratio = np.divide(core**2, brightest, out=np.zeros_like(core), where=brightest > 0)
    return np.where(brightest > 0, np.maximum(ratio - core, 0.0), 0.0)
