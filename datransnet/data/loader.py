"""Training batches from decoded images.

An epoch waits for nothing but copies of bytes: windows and symmetries are views of the decoded pixels, copied into the
batch; scales, contrast and brightness are applied to the whole batch on the device. An accelerator has the pixels
themselves, if they fit, and cuts the windows.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datransnet.data.batch_recipe import BatchRecipe
from datransnet.data.dataset import Images
from datransnet.data.images import Luminance, Truth
from datransnet.data.paste import lift_targets, paste
from datransnet.data.pixel_cache import Pixels, cached_pixels
from datransnet.data.resident import Cut, ResidentPixels
from datransnet.data.transforms import resample, resize_image, resize_mask, vary

Indices = npt.NDArray[np.int64]

RESIDENT = 2**30
"""Bytes of images and masks up to which an accelerator keeps all of them."""


def to_input(pixels: Pixels, device: str = "cpu") -> Tensor:
    """B×H×W uint8 → B×1×H×W float32 in [0, 1]."""
    return _upload(pixels, device).unsqueeze(1) / 255


def _upload(pixels: Pixels, device: str) -> Tensor:
    """An array on a device; the copy to an accelerator is from pinned memory, so that nobody waits for it."""
    array = torch.from_numpy(pixels)
    return array.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else array.to(device)


def shrink(image: Luminance, size: int) -> Luminance:
    """A whole image as networks under ``view="resize"`` see it: H×W → size×size, in 8 bits."""
    resized: Luminance = resize_image(torch.tensor(image)[None, None].float(), size, size).round().byte().numpy()[0, 0]
    return resized


def at_size(data: Images, size: int) -> Pixels:
    """All images and masks of 0 and 1 at one size, N×2×size×size; computed once a machine."""

    def make() -> Pixels:
        pixels = np.empty((len(data), 2, size, size), dtype=np.uint8)
        for number, (image, mask) in enumerate(zip(data.images, data.masks, strict=True)):
            pixels[number, 0] = shrink(image, size)
            pixels[number, 1] = resize_mask(torch.tensor(mask)[None, None].byte(), size, size)[0, 0]
        return pixels

    return cached_pixels(data.cache.with_name(f"{data.cache.name}-{size}.npy"), make) if data.cache else make()


def symmetric(view: npt.NDArray[Any], symmetry: int) -> npt.NDArray[Any]:
    """One of the eight symmetries of a square, numbered from 0 (as it is) to 7, as a view."""
    rows, columns, transposed = -1 if symmetry & 1 else 1, -1 if symmetry & 2 else 1, symmetry & 4
    flipped = view[::rows, ::columns]
    return flipped.T if transposed else flipped


class Loader:
    """Batches of a training part.

    Args:
        data: the images and masks of the training part.
        how: how they are shown to the network.
        device: the device on which the batches are returned.
    """

    def __init__(self, data: Images, how: BatchRecipe, device: str = "cpu") -> None:
        self.data, self.how, self.device = data, how, device
        self.whole = at_size(data, how.size) if how.view == "resize" else None
        self.targets = lift_targets(*self._shown()) if how.paste else []
        self.target_pixels = [np.argwhere(mask) for mask in data.masks] if how.target_share else []
        self.resident = ResidentPixels(*self._shown(), device) if device != "cpu" and self._may_reside() else None

    def _shown(self) -> tuple[list[Luminance], list[Truth]]:
        """Images and masks at the scale that the network sees."""
        if self.whole is None:
            return self.data.images, self.data.masks
        return list(self.whole[:, 0]), list(self.whole[:, 1].view(np.bool_))

    def _may_reside(self) -> bool:
        """Whether an accelerator can cut the batches: pasted targets are drawn by looking at pixels, here."""
        return not self.targets and 2 * sum(image.size for image in self._shown()[0]) <= RESIDENT

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once: (images B×1×S×S in [0, 1], masks B×1×S×S in {0, 1}), in random order.

        The last batch is smaller. A last batch of one is left out: one image says too little for batch norms, which in
        all other steps see several, unless every batch has one.
        """
        order = rng.permutation(len(self.data))
        for start in range(0, len(order), self.how.batch_size):
            chosen = order[start : start + self.how.batch_size]
            if len(chosen) > 1 or len(order) == 1 or self.how.batch_size == 1:
                yield self.batch(chosen, rng)

    def batch(self, chosen: Indices, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Some images, as `epoch` shows them."""
        how, number = self.how, len(chosen)
        zoomed = how.view == "crop" and how.zoom > 1
        windows = np.full(number, how.size)
        if zoomed:
            windows = np.rint(how.size * how.zoom ** rng.uniform(-1, 1, size=number)).astype(np.int64)
        cut = self._cut_here if self.resident is None else self._cut_there
        pixels = cut(chosen, windows, rng)
        images, masks = pixels[0].unsqueeze(1) / 255, pixels[1].unsqueeze(1).float()
        if zoomed:
            images = resample(images, torch.tensor(windows), how.size, "bilinear")
            masks = resample(masks, torch.tensor(windows), how.size, "nearest")
        if how.intensity:
            contrast = (1 + how.intensity) ** rng.uniform(-1, 1, size=number)
            brightness = rng.uniform(-1, 1, size=number) * how.intensity / 4
            images = vary(images, torch.tensor(contrast), torch.tensor(brightness))
        return images, masks

    def _cut_here(self, chosen: Indices, windows: Indices, rng: np.random.Generator) -> Tensor:
        """Windows and masks 2×B×M×M, uint8, cut in the host's memory; those smaller than M are in the upper left.

        What is beside them is zero: rounded places let a resized window have a hundred-thousandth of it.
        """
        pixels = np.zeros((2, len(chosen), windows.max(), windows.max()), dtype=np.uint8)
        for slot, (index, window) in enumerate(zip(chosen, windows, strict=True)):
            image, mask = self._window(index, window, rng)
            if self.targets and rng.random() < self.how.paste:
                image, mask = paste(image, mask, self.targets, rng)
            symmetry = self._symmetry(rng)
            pixels[0, slot, :window, :window] = symmetric(image, symmetry)
            pixels[1, slot, :window, :window] = symmetric(mask, symmetry)
        return _upload(pixels, self.device)

    def _cut_there(self, chosen: Indices, windows: Indices, rng: np.random.Generator) -> Tensor:
        """The same, by the same draws, cut on the device."""
        assert self.resident is not None
        cuts = []
        for index, window in zip(chosen, windows, strict=True):
            top, left = (0, 0) if self.whole is not None else self._corner(index, window, rng)
            cuts.append(Cut(int(index), int(top), int(left), int(window), self._symmetry(rng)))
        return self.resident.cut(cuts)

    def _symmetry(self, rng: np.random.Generator) -> int:
        return int(rng.integers(8)) if self.how.augment else 0

    def _corner(self, index: int, size: int, rng: np.random.Generator) -> Indices:
        """Top and left of a window; with probability ``target_share`` it has one of the image's target pixels."""
        highest = np.maximum(np.array(self.data.images[index].shape) - size, 0)
        corner = rng.integers(highest + 1)
        if self.target_pixels and len(self.target_pixels[index]) and rng.random() < self.how.target_share:
            corner = rng.choice(self.target_pixels[index]) - rng.integers(size, size=2)
        inside: Indices = np.clip(corner, 0, highest)
        return inside

    def _window(self, index: int, size: int, rng: np.random.Generator) -> tuple[Luminance, Truth]:
        """The whole image, or a size×size window of it; images smaller than the window are reflected."""
        if self.whole is not None:
            image, mask = self.whole[index]
            return image, mask.view(np.bool_)
        image, mask = self.data.images[index], self.data.masks[index]
        top, left = self._corner(index, size, rng)
        image, mask = image[top : top + size, left : left + size], mask[top : top + size, left : left + size]
        if image.shape != (size, size):
            short = [(0, size - length) for length in image.shape]
            image, mask = np.pad(image, short, mode="symmetric"), np.pad(mask, short, mode="symmetric")
        return image, mask
