"""Decoded pixels in memory-mapped files: decoded once, and shared read-only by all trainings of a machine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datransnet.atomic import atomic_path

Pixels = npt.NDArray[np.uint8]


def cached_pixels(path: Path, make: Callable[[], Pixels]) -> Pixels:
    """The array in a file, read-only; made and written first where the file is missing or damaged.

    Where the file cannot be written (a read-only dataset, a full disk), the array stays in this process's memory:
    slower to share, not wrong.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError):  # missing, cut short, or not an array
        array = make()
    try:
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.save(file, array)
        return np.asarray(np.load(path, mmap_mode="r"))
    except OSError:
        return array
