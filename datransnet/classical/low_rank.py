"""Targets as what is left when a background of low rank is taken away from an image's overlapping windows."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.linalg import svd

from datransnet.classical.patches import Patches
from datransnet.classical.registry import METHODS, Grey

Matrix = npt.NDArray[np.float64]


def _decomposed(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    left, values, right = svd(matrix, full_matrices=False, check_finite=False)
    return left, values, right


def _soft(x: Matrix, threshold: Matrix | float) -> Matrix:
    """Every value moved towards 0 by a threshold."""
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0.0)


@METHODS.register("ipi")
def infrared_patch_image(image: Grey, released: bool = False) -> Grey:
    """IPI (Gao et al., TIP 22, 2013): windows as columns of a matrix, of low rank but for the targets.

    Solved by the inexact method of multipliers, as ISTD-python does; windows of 30 at steps of 10. Pixels right of and
    below the last window have 0.

    Args:
        image: H×W.
        released: leave the last window of each pixel out of its mean's sum, as ISTD-python does by an index that begins
            at 1.
    """
    windows = Patches.of(image, 30, 10, flush=False)
    patches = windows.cut(image)
    data = patches.reshape(-1, patches.shape[-1])
    sparsity, norm = 1 / math.sqrt(max(image.shape)), np.linalg.norm(data)
    spread = float(data.std())
    if spread == 0:
        return np.zeros_like(image)
    penalty = 1 / (5 * spread)
    target, multiplier, count = np.zeros_like(data), np.zeros_like(data), -1
    while True:
        left, values, right = _decomposed(data + multiplier / penalty - target)
        background = (left * np.maximum(values - 1 / penalty, 0.0)) @ right
        target = np.maximum(data + multiplier / penalty - background - sparsity / penalty, 0.0)
        rest = data - background - target
        multiplier += penalty * rest
        penalty *= 1.5
        before, count = count, int(np.count_nonzero(target))
        if np.linalg.norm(rest) / norm < 1e-7 or count == before:
            break
    return np.maximum(windows.mean(target.reshape(patches.shape), without_last=released), 0.0)


@METHODS.register("nram")
def nonconvex_rank(image: Grey) -> Grey:
    """NRAM (Zhang et al., Remote Sensing 10, 2018): a tighter surrogate of the rank, edges apart.

    Windows of 50 at steps of 10; where windows overlap, the last one counts, and the negative part of the targets is
    shrunk without the step size, both as the authors' code has it.
    """
    windows = Patches.of(image, 50, 10, flush=True)
    patches = windows.cut(image) / 255
    data = patches.reshape(-1, patches.shape[-1])
    norm = np.linalg.norm(data)
    if norm == 0:
        return np.zeros_like(image)
    small, large = min(data.shape), max(data.shape)
    sparsity, edges, gamma = 1 / math.sqrt(small), 3 / math.sqrt(small), 0.002
    penalty, compromise = 3 * math.sqrt(large), math.sqrt(small) / 2.5
    background, target, edge, multiplier = (np.zeros_like(data) for _ in range(4))
    singular = np.zeros(small)
    for _ in range(1000):
        left, values, right = _decomposed(data - target - edge - multiplier / penalty)
        for _ in range(100):
            shrunk = np.maximum(values - (1 + gamma) * gamma / (gamma + singular) ** 2 / penalty, 0.0)
            moved, singular = float(np.square(shrunk - singular).sum()), shrunk
            if moved < 1e-6:
                break
        background = (left * singular) @ right
        x = data - background - edge - multiplier / penalty
        weight = compromise / (np.abs(x) + 0.04) * sparsity
        target = np.maximum(x - weight / penalty, 0.0) + np.minimum(x + weight, 0.0)
        x = data - target - background - multiplier / penalty
        length = np.linalg.norm(x, axis=0)
        edge = x * np.maximum(1 - edges / penalty / np.maximum(length, np.finfo(float).tiny), 0.0)
        multiplier += penalty * (background + edge - data + target)
        penalty *= 1.1
        if np.linalg.norm(data - target - background - edge) / norm < 1e-7:
            break
    return windows.last(target.reshape(patches.shape))


@METHODS.register("pstnn")
def partial_tensor_rank(image: Grey) -> Grey:
    """PSTNN (Zhang, Peng, Remote Sensing 11, 2019): a tensor's partial nuclear norm, a prior of corners.

    Windows of 40 side by side. The first singular values of each frontal slice, in the Fourier domain over the windows,
    are kept whole. ISTD-python rounds half of the windows to even and so leaves slices of some tensors empty; here no
    slice is.
    """
    windows = Patches.of(image, 40, 40, flush=True)
    data = windows.cut(image)
    rows, columns, number = data.shape
    norm = np.linalg.norm(data)
    if norm == 0:
        return np.zeros_like(image)
    unfolded = data.reshape(number, rows * columns, order="F")
    spectrum = np.linalg.svd(unfolded, compute_uv=False)
    kept = max(int((spectrum >= 0.1 * spectrum[0]).sum()), 1)
    sparsity = 0.7 / math.sqrt(max(rows, columns) * number)
    prior = windows.cut(_corners(image)) + np.finfo(float).eps
    penalty, weight = 2e-3, np.ones_like(data)
    background, target, multiplier = (np.zeros_like(data) for _ in range(3))
    for _ in range(500):
        positive = int((target > 0).sum())
        background = _partially_shrunk(data - target - multiplier / penalty, kept, 1 / penalty)
        x = data - background - multiplier / penalty
        target = np.maximum(_soft(x, weight * sparsity / penalty), 0.0)
        weight = kept / ((np.abs(target) + 0.01) * prior)
        rest = background + target - data
        multiplier += penalty * rest
        penalty = min(penalty * 1.05, 1e10)
        now = int((target > 0).sum())
        if np.linalg.norm(rest) / norm < 1e-3 or (now == positive and now > 0):
            break
    return windows.last(target)


def _partially_shrunk(tensor: Matrix, kept: int, threshold: float) -> Matrix:
    """Singular values of every frontal slice in the Fourier domain, all but the first `kept`, moved towards 0."""
    slices = np.moveaxis(np.fft.rfft(tensor, axis=2), 2, 0)  # the other half is their conjugate
    left, values, right = np.linalg.svd(slices, full_matrices=False)
    values[:, kept:] = np.maximum(values[:, kept:] - threshold, 0.0)
    shrunk = np.moveaxis((left * values[:, None, :]) @ right, 0, 2)
    return np.fft.irfft(shrunk, tensor.shape[2], axis=2)


def _corners(image: Grey) -> Grey:
    """How much a pixel is a corner, in [0, 1]: from the eigenvalues of its structure tensor."""
    if min(image.shape) == 1:
        return np.zeros_like(image)  # a line has no corner
    blurred = _gaussian(image, 2)
    rows, columns = np.gradient(blurred, axis=0), np.gradient(blurred, axis=1)
    a, b, c = (_gaussian(product, 9) for product in (columns * columns, columns * rows, rows * rows))
    half, root = (a + c) / 2, np.sqrt(((a - c) / 2) ** 2 + b**2)
    larger, smaller = half + root, half - root
    both = larger + smaller
    found = np.divide(larger * larger * smaller, both, out=np.zeros_like(image), where=both > 0)
    spread = found.max() - found.min()
    return (found - found.min()) / spread if spread > 0 else np.zeros_like(image)


def _gaussian(image: npt.NDArray[Any], sigma: float) -> Grey:
    """Blurred by a Gaussian of 3×3 pixels, mirrored at the edges."""
    found: Grey = ndimage.gaussian_filter(image, sigma, radius=1, mode="reflect")
    return found
