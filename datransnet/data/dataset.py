"""A part of a split dataset as uint8, decoded once: the datasets of the field are small, decoding is not free."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datransnet.data.images import Levels, Luminance, Truth, read_image
from datransnet.data.layouts import find_layout
from datransnet.data.manifest import Item, Manifest, Part, pair_digest
from datransnet.data.masks import MASK_ABOVE, read_mask
from datransnet.data.pairs import PairReader
from datransnet.data.pixel_cache import Pixels, cached_pixels
from datransnet.errors import DataError

DECODED = ".decoded"
"""The folder beside a split dataset that holds its decoded pixels."""


@dataclass(frozen=True)
class Images:
    """Images with their masks; sizes may differ.

    Attributes:
        ids: N names.
        images: N arrays H×W, uint8, read-only.
        masks: N arrays H×W, bool, read-only.
        cache: where what is derived from them may be kept for other processes; None keeps it in memory.
        remarks: what is odd about their files, in one line.
    """

    ids: list[str]
    images: list[Luminance]
    masks: list[Truth]
    cache: Path | None = None
    remarks: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, indices: Sequence[int]) -> "Images":
        """The images at some indices."""
        return Images(
            [self.ids[index] for index in indices],
            [self.images[index] for index in indices],
            [self.masks[index] for index in indices],
        )


def load_part(folder: Path, *parts: Part) -> Images:
    """Parts of a dataset written by `datransnet.data.splits.split`, every image checked against the manifest.

    The first to ask decodes the dataset into ``.decoded/<NAME>-<digest>/pixels.npy`` beside it; whoever comes later,
    in this process or another, maps that file into its memory.

    Raises:
        DataError: if a file is missing, damaged, or not the manifest's.
    """
    manifest = Manifest.read(folder / "manifest.json")
    if not any(item.part in parts for item in manifest.items):
        raise DataError(f"{folder} has no image in its {' or '.join(parts)} part.")
    cache = folder.parent / DECODED / f"{folder.name}-{manifest.digest[:16]}"
    pixels = cached_pixels(cache / "pixels.npy", lambda: _decode(folder, manifest))
    _forget_others(cache)
    loaded = Images([], [], [], cache / "+".join(sorted(parts)))
    start = 0
    for item in manifest.items:
        area = item.height * item.width
        image, mask = pixels[start : start + 2 * area].reshape(2, item.height, item.width)
        start += 2 * area
        if item.part in parts:
            loaded.ids.append(item.id)
            loaded.images.append(image)
            loaded.masks.append(mask.view(np.bool_))
    return loaded


def _decode(folder: Path, manifest: Manifest) -> Pixels:
    """All images, each followed by its mask, in the manifest's order, as one row of bytes."""
    return np.concatenate([array.ravel() for item in manifest.items for array in _read(folder, item)])


def _read(folder: Path, item: Item) -> tuple[Luminance, Pixels]:
    """An image and its mask of 0 and 1, checked against the manifest."""
    part = folder / ("test" if item.part == "test" else "trainval")
    image = read_image(part / "images" / f"{item.id}.png")
    mask = read_mask(part / "masks" / f"{item.id}.png")
    if pair_digest(image, mask) != item.digest:
        raise DataError(f"{part}: {item.id} is not the image of the manifest. Run the split stage again.")
    return image, mask.view(np.uint8)


def _forget_others(cache: Path) -> None:
    """Remove what was decoded of the same dataset when its content or split was another."""
    name, _, digest = cache.name.rpartition("-")
    for other in cache.parent.iterdir():
        if other != cache and re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{{len(digest)}}}", other.name):
            shutil.rmtree(other, ignore_errors=True)


def load_folder(folder: Path, part: Part | None = None, above: int = MASK_ABOVE, levels: Levels = "full") -> Images:
    """Every pair of a folder in any layout (see `datransnet.data.layouts`), in the order of ids.

    Args:
        folder: the folder.
        part: only this one, of a layout whose folders say what is in which.
        above: of 255: levels of a mask above this are target; see `datransnet.data.masks`.
        levels: which stored values of an image become black and white.

    Raises:
        DataError: if it fits no layout or has no such part, a partner is missing, a file is damaged, a mask has not its
            image's size, it is not certain what of a mask is target, or no mask has a target.
    """
    layout, reader = find_layout(folder), PairReader(str(folder), above, levels)
    pairs = {id_: paths for id_, paths in layout.pairs.items() if part is None or layout.parts.get(id_) == part}
    if not pairs:
        raise DataError(
            f"{folder} has no {part} part; it has {', '.join(sorted(set(layout.parts.values()))) or 'none'}."
        )
    read = list(reader.read(pairs))
    reader.oddities.note("files are left out: of other systems, or of kinds that are not read", *layout.foreign)
    images, masks = [pair.image for _, pair in read], [pair.mask for _, pair in read]
    return Images([id_ for id_, _ in read], images, masks, remarks=reader.oddities.line())
