"""Targets lifted from images, to be put down in others (copy and paste augmentation).

A small target adds radiation to what lies behind it, so what is copied is its excess over the median of the pixels
around it, and it is added where it lands.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from datransnet.data.images import Luminance, Truth

MARGIN = 2
"""Pixels around a target whose median is its background."""


@dataclass(frozen=True)
class Target:
    """The excess of a target over its background in grey levels, h×w (zero beside the mask), and its mask."""

    excess: npt.NDArray[np.float32]
    mask: Truth


def lift_targets(images: list[Luminance], masks: list[Truth]) -> list[Target]:
    """Every target of some images, one for each 8-connected component of the masks."""
    targets = []
    for image, mask in zip(images, masks, strict=True):
        labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            around = tuple(slice(max(0, part.start - MARGIN), part.stop + MARGIN) for part in (rows, columns))
            beside = image[around][~mask[around]]
            own = labels[rows, columns] == number
            level = np.median(beside) if beside.size else 0.0
            targets.append(Target(np.where(own, image[rows, columns] - np.float32(level), 0).astype(np.float32), own))
    return targets


def paste(image: Luminance, mask: Truth, targets: list[Target], rng: np.random.Generator) -> tuple[Luminance, Truth]:
    """A copy with a random target added at a random place; the image as it is where the target would not fit."""
    target = targets[rng.integers(len(targets))]
    room = np.array(image.shape) - target.mask.shape
    if room.min() < 0:
        return image, mask
    top, left = rng.integers(room + 1)
    window = np.s_[top : top + target.mask.shape[0], left : left + target.mask.shape[1]]
    image, mask = image.copy(), mask.copy()
    image[window] = np.clip(np.rint(image[window] + target.excess), 0, 255)
    mask[window] |= target.mask
    return image, mask
