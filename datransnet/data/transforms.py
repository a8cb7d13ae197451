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


def batches(
    data: Images,
    rng: np.random.Generator,
    *,
    batch_size: int,
    view: str,
    size: int,
    target_share: float,
    zoom: float,
    augment: bool,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of (images B×1×S×S in [0, 1], masks B×1×S×S in {0, 1}), in random order, the last batch smaller.

    ``view="resize"`` shows whole images resized to S (the paper), ``"crop"`` windows of S at the image's own scale, or
    at a random one between 1/zoom and zoom. A last batch of one is left out: batch norm has nothing to estimate there.
    """
    order = rng.permutation(len(data))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        if len(chosen) == 1 and len(order) > 1:
            return
        pairs = []
        for index in chosen:
            image, mask = data.images[index], data.masks[index]
            if view == "crop":
                window = round(size * zoom ** rng.uniform(-1, 1)) if zoom > 1 else size
                image, mask = crop(image, mask, window, target_share, rng)
            pair = to_input(image), to_input(mask.astype(np.uint8) * np.uint8(255))
            if image.shape != (size, size):
                pair = resize_image(pair[0][None], size, size)[0], resize_mask(pair[1][None], size, size)[0]
            pairs.append(symmetric(pair, rng) if augment else pair)
        images, masks = zip(*pairs, strict=True)
        yield torch.stack(images), torch.stack(masks)
