"""An image as many overlapping windows, and back."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datransnet.classical.registry import Grey


@dataclass(frozen=True)
class Patches:
    """Windows of one size whose corners lie on a grid.

    Attributes:
        shape: H and W of the image.
        size: height and width of a window, in pixels; images that are smaller have one window of their own size.
        tops: rows where windows begin.
        lefts: columns where windows begin.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    tops: list[int]
    lefts: list[int]

    @classmethod
    def of(cls, image: Grey, size: int, step: int, flush: bool) -> "Patches":
        """Windows every `step` pixels.

        Args:
            image: H×W.
            size: of a window.
            step: between windows.
            flush: add a window at the far edges where the steps leave pixels uncovered.
        """
        sizes = tuple(min(size, length) for length in image.shape)
        starts = []
        for length, window in zip(image.shape, sizes, strict=True):
            found = list(range(0, length - window + 1, step))
            if flush and found[-1] != length - window:
                found.append(length - window)
            starts.append(found)
        return cls(image.shape, sizes, *starts)

    @property
    def corners(self) -> list[tuple[int, int]]:
        """Where windows begin, column of windows by column."""
        return [(top, left) for left in self.lefts for top in self.tops]

    def cut(self, image: Grey) -> npt.NDArray[np.float64]:
        """H×W → height×width×N."""
        height, width = self.size
        return np.stack([image[top : top + height, left : left + width] for top, left in self.corners], axis=-1)

    def mean(self, patches: npt.NDArray[np.float64], without_last: bool = False) -> Grey:
        """height×width×N → H×W: each pixel's mean over the windows on it, 0 where there is none.

        Args:
            patches: values.
            without_last: the value of a pixel's last window counts as 0.
        """
        total, number, last = (np.zeros(self.shape) for _ in range(3))
        height, width = self.size
        for index, (top, left) in enumerate(self.corners):
            place = np.s_[top : top + height, left : left + width]
            total[place] += patches[..., index]
            number[place] += 1
            last[place] = patches[..., index]
        return (total - last if without_last else total) / np.maximum(number, 1)

    def last(self, patches: npt.NDArray[np.float64]) -> Grey:
        """height×width×N → H×W: each pixel's value in the last window on it."""
        found = np.zeros(self.shape)
        height, width = self.size
        for index, (top, left) in enumerate(self.corners):
            found[top : top + height, left : left + width] = patches[..., index]
        return found
