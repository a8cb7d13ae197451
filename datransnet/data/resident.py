"""A training part on an accelerator, where all windows of a batch are one gather."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datransnet.data.images import Luminance, Truth


class Cut(NamedTuple):
    """A square window of an image, and the symmetry that is applied to it.

    Attributes:
        image: its number.
        top: of the window's first row; at least 0.
        left: of its first column; at least 0.
        size: height and width in pixels; beyond an image's edge it is reflected.
        symmetry: of the square, from 0 (as it is) to 7; see `datransnet.data.loader.symmetric`.
    """

    image: int
    top: int
    left: int
    size: int
    symmetry: int


class ResidentPixels:
    """Images and masks, sizes of which may differ, as rows of bytes on a device.

    Batches are cut there, from a row of numbers a window. Copying the windows themselves from the host would make it
    wait until the device has done all that it was asked to do before.

    Args:
        images: N arrays H×W, uint8.
        masks: N arrays H×W, bool.
        device: as torch names it.
    """

    def __init__(self, images: Sequence[Luminance], masks: Sequence[Truth], device: str) -> None:
        self.pixels = torch.empty((2, sum(image.size for image in images)), dtype=torch.uint8, device=device)
        for row, arrays in zip(self.pixels, (images, [mask.view(np.uint8) for mask in masks]), strict=True):
            row.copy_(torch.from_numpy(np.concatenate([array.ravel() for array in arrays])))
        shapes = np.array([image.shape for image in images])
        starts = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))[:-1]])
        self.places = torch.from_numpy(np.column_stack([starts, shapes])).to(device)

    def cut(self, cuts: Sequence[Cut]) -> Tensor:
        """Windows and their masks of 0 and 1, 2×B×M×M, uint8, where M is the largest window's size.

        A smaller window is in the upper left corner of its place; beside it is zero.
        """
        # One small copy to the device, and no wait for it.
        asked = torch.tensor(cuts, dtype=torch.int64).to(self.pixels.device, non_blocking=True)
        _, top, left, size, symmetry = (column[:, None] for column in asked.unbind(1))
        start, height, width = (column[:, None] for column in self.places[asked[:, 0]].unbind(1))
        steps = torch.arange(max(cut.size for cut in cuts), device=self.pixels.device)
        beside = (steps >= size)[:, :, None] | (steps >= size)[:, None, :]

        def along(first: Tensor, length: Tensor, flipped: Tensor) -> Tensor:
            """B×M places along one axis of the images."""
            inside = torch.where(flipped.bool(), size - 1 - steps, steps.expand(len(cuts), -1))
            period = 2 * length  # an image, and its reflection
            place = (first + inside.clamp_min(0)) % period
            return torch.minimum(place, period - 1 - place)

        rows = along(top, height, symmetry & 1)[:, :, None]
        columns = along(left, width, symmetry & 2)[:, None, :]
        places = start[..., None] + rows * width[..., None] + columns
        places = torch.where((symmetry & 4).bool()[..., None], places.mT, places)
        # One by one, so that each is contiguous.
        return torch.stack([row[places].masked_fill_(beside, 0) for row in self.pixels])
