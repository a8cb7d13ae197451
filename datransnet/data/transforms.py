"""From images of any size to training batches, and back from a network's size to the image's.

Every batch depends on its generator alone, so an epoch can be repeated from its seed.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datransnet.data.dataset import Images
from datransnet.data.images import Luminance, Truth
from datransnet.data.paste import Target, paste
from datransnet.data.presentation import Presentation


def crop(
    image: Luminance, mask: Truth, size: int, target_share: float, rng: np.random.Generator
) -> tuple[Luminance, Truth]:
    """A size×size window, with probability ``target_share`` one that holds a random target pixel.

    Images smaller than the window are reflected.
    """
    short = [(0, max(0, size - length)) for length in image.shape]
    if any(after for _, after in short):
        image, mask = np.pad(image, short, mode="symmetric"), np.pad(mask, short, mode="symmetric")
    highest = np.array(image.shape) - size
    if rng.random() < target_share and mask.any():
        pixels = np.argwhere(mask)
        corner = pixels[rng.integers(len(pixels))] - rng.integers(size, size=2)
    else:
        corner = rng.integers(highest + 1)
    top, left = np.clip(corner, 0, highest)
    return image[top : top + size, left : left + size], mask[top : top + size, left : left + size]


def to_input(image: Luminance) -> Tensor:
    """H×W uint8 → 1×H×W float32 in [0, 1]."""
    return torch.tensor(image, dtype=torch.float32).unsqueeze(0) / 255


def resize_image(batch: Tensor, height: int, width: int) -> Tensor:
    """B×1×H×W → B×1×height×width, bilinear."""
    return F.interpolate(batch, size=(height, width), mode="bilinear", align_corners=False)


def resize_mask(batch: Tensor, height: int, width: int) -> Tensor:
    """B×1×H×W → B×1×height×width, nearest."""
    return F.interpolate(batch, size=(height, width), mode="nearest-exact")


def symmetric(pair: tuple[Tensor, Tensor], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """One of the eight symmetries of the square for an image and its mask, 1×S×S each."""
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    image, mask = (item.rot90(turns, (1, 2)) for item in pair)
    return (image.flip(2), mask.flip(2)) if flip else (image, mask)


def varied(image: Tensor, intensity: float, rng: np.random.Generator) -> Tensor:
    """An image in [0, 1] with random contrast about its mean and random brightness, clipped to [0, 1]."""
    contrast = (1 + intensity) ** rng.uniform(-1, 1)
    mean = image.mean()
    brightness = rng.uniform(-1, 1) * intensity / 4
    return torch.clamp((image - mean) * contrast + mean + brightness, 0, 1)


def present(
    image: Luminance, mask: Truth, targets: list[Target], how: Presentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """One training image and its mask, 1×S×S each, of an image of any size."""
    if how.view == "crop":
        window = round(how.size * how.zoom ** rng.uniform(-1, 1)) if how.zoom > 1 else how.size
        image, mask = crop(image, mask, window, how.target_share, rng)
    if targets and how.paste and rng.random() < how.paste:
        image, mask = paste(image, mask, targets, rng)
    pair = to_input(image), to_input(mask.astype(np.uint8) * np.uint8(255))
    if image.shape != (how.size, how.size):
        pair = resize_image(pair[0][None], how.size, how.size)[0], resize_mask(pair[1][None], how.size, how.size)[0]
    if how.intensity:
        pair = varied(pair[0], how.intensity, rng), pair[1]
    return symmetric(pair, rng) if how.augment else pair


def batches(
    data: Images, targets: list[Target], how: Presentation, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of (images B×1×S×S in [0, 1], masks B×1×S×S in {0, 1}), in random order, the last batch smaller.

    A last batch of one is left out: batch norm has nothing to estimate there.
    """
    order = rng.permutation(len(data))
    for start in range(0, len(order), how.batch_size):
        chosen = order[start : start + how.batch_size]
        if len(chosen) == 1 and len(order) > 1:
            return
        pairs = [present(data.images[index], data.masks[index], targets, how, rng) for index in chosen]
        images, masks = zip(*pairs, strict=True)
        yield torch.stack(images), torch.stack(masks)
