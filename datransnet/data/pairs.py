"""Images with their masks, read together: what is certain is read, the rest refused by name, oddities are counted."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage

from datransnet.data.images import Decoded, Levels, Luminance, Truth, decode_image
from datransnet.data.layouts import Pairs
from datransnet.data.masks import MASK_ABOVE, REMEDY, Mask, decode_mask, resized
from datransnet.data.oddities import Oddities, named
from datransnet.errors import DataError

Mismatch = Literal["exclude", "resize_mask"]
"""What to do with a mask whose size is not its image's: leave the pair out, or resize the mask (nearest)."""

MOST = 0.5
"""If a larger share of masks does not fit, or of a mask is target, something is wrong with all of them."""
LOSING = 0.25
"""If a larger share of masks holds places too faint to count, their levels mean something else, such as classes."""
DISTORTION = 0.02
"""If a mask's width differs by more than this share (and by more than one pixel) from the width that its image's
proportions give, the mask was cut or turned, not resized."""
EIGHT = np.ones((3, 3))
"""Pixels that touch by a corner belong together."""
NAMED = 3
"""Files that an error names."""


@dataclass(frozen=True)
class Pair:
    """An image and its mask of the same size.

    Attributes:
        image: H×W, uint8.
        mask: H×W booleans.
        mode: of the image file, as Pillow calls it.
        grey: whether the mask file holds levels between black and white.
        file: the image's file, where it is a PNG of just these pixels.
    """

    image: Luminance
    mask: Truth
    mode: str
    grey: bool
    file: Path | None = None


@dataclass
class PairReader:
    """Reads the pairs of one dataset and judges them together.

    Attributes:
        name: of the dataset, for errors.
        above: of 255: levels of a mask above this are target.
        levels: which stored values of an image become black and white.
        mismatch: what to do with masks of another size; None refuses them.
        oddities: what is odd about the files read so far.
        excluded: id → why the pair was left out.
        treated: id → what was done to the pair.
    """

    name: str
    above: int = MASK_ABOVE
    levels: Levels = "full"
    mismatch: Mismatch | None = None
    oddities: Oddities = field(default_factory=Oddities)
    excluded: dict[str, str] = field(default_factory=dict)
    treated: dict[str, str] = field(default_factory=dict)
    _targets: bool = False
    _whites: dict[tuple[float, float], str] = field(default_factory=dict)
    _inverted: list[str] = field(default_factory=list)
    _losing: list[str] = field(default_factory=list)
    _kinds: dict[bool, str] = field(default_factory=dict)
    _sizes: dict[str, str] = field(default_factory=dict)
    _turned: int = 0
    _distorted: list[str] = field(default_factory=list)

    def read(self, pairs: Pairs) -> Iterator[tuple[str, Pair]]:
        """Every pair that can be used, by its id, in order.

        Raises:
            DataError: at the end, naming the files that cannot be read, or what is wrong with the masks as a whole.
        """
        faults = list[str]()
        for id_, (image_path, mask_path) in sorted(pairs.items()):
            try:
                image, mask = _aligned(image_path, mask_path, self.above, self.levels)
            except DataError as error:
                faults.append(str(error))
                continue
            truth = self._fitted(id_, image.pixels, mask.target)
            if truth is not None:
                self._note(id_, image, mask)
                self.judge(mask_path, mask)
                yield id_, Pair(image.pixels, truth, image.mode, mask.grey, image_path if image.plain else None)
        if faults:
            more = f" {len(faults) - NAMED} more files cannot be read." if len(faults) > NAMED else ""
            raise DataError(" ".join(faults[:NAMED]) + more)
        self._check_sizes(len(pairs))
        self.check_masks(len(pairs))

    def _note(self, id_: str, image: Decoded, mask: Mask) -> None:
        """Count what is odd about a pair."""
        for holds, what in (
            (mask.white and mask.white != 255, "masks have another highest value than 255, which is taken for target"),
            (mask.grey, "masks hold grey levels"),
            (mask.coloured, "masks are coloured: every bright colour is target"),
            (mask.alpha, "masks are the transparency of their files"),
            (mask.lost, f"masks have places too faint to count as target (above 0, but not {self.above})"),
            (image.orientation > 1, "images are stored turned and were brought upright (EXIF)"),
            (image.loses_levels, "images keep few of their levels: set data.levels (--levels) to fit them"),
        ):
            if holds:
                self.oddities.note(what, id_)

    def judge(self, path: Path, mask: Mask) -> None:
        """Keep what of a mask is judged with the others, by `check_masks`."""
        if mask.white:
            self._whites.setdefault((mask.white, mask.top), path.name)
        if mask.target.mean() > MOST:
            self._inverted.append(path.name)
        if mask.lost:
            self._losing.append(path.name)
        if mask.white:
            self._kinds.setdefault(mask.alpha, path.name)
        self._targets = self._targets or bool(mask.target.any())

    def _fitted(self, id_: str, image: Luminance, mask: Truth) -> Truth | None:
        """The mask at its image's size; None where the pair is left out."""
        if image.shape == mask.shape:
            return mask
        (height, width), (mask_height, mask_width) = image.shape, mask.shape
        fault = f"mask {mask_width}×{mask_height} for an image of {width}×{height}"
        self._sizes[id_] = fault
        self._turned += image.shape == mask.shape[::-1]
        if self.mismatch != "resize_mask":
            self.excluded[id_] = fault
            return None
        fitting = width * mask_height / height
        if abs(mask_width - fitting) > max(1, DISTORTION * fitting):
            self._distorted.append(id_)
            return None
        self.treated[id_] = f"{fault}: mask resized (nearest)"
        fitted = resized(mask, height, width)
        if ndimage.label(fitted, EIGHT)[1] < ndimage.label(mask, EIGHT)[1]:
            self.oddities.note("masks lost targets in being resized", id_)
        return fitted

    @property
    def mismatched(self) -> dict[str, str]:
        """Id → sizes of masks that do not fit their images."""
        return self._sizes

    def _check_sizes(self, number: int) -> None:
        """Refuse masks of other sizes where they are no exceptions, or cannot be treated.

        Raises:
            DataError: naming some, and the remedies.
        """
        bad, told = len(self._sizes), "; ".join(f"{id_}: {fault}" for id_, fault in list(self._sizes.items())[:NAMED])
        turned = " They are turned by a quarter." if self._turned == bad else ""
        remedy = (
            f"{turned} Save the masks as their images are."
            if turned or self._distorted
            else " Save them at their images' sizes, or have them resized (data.mismatch: resize_mask in a study)."
        )
        if self._distorted:
            raise DataError(
                f"{self.name}: {len(self._distorted)} masks have another shape than their images and cannot be resized "
                f"({named(self._distorted)}; {told}).{remedy}"
            )
        if self.mismatch == "resize_mask" or not bad:
            return
        if bad == number:
            raise DataError(f"{self.name}: all {number} masks have another size than their images ({told}).{remedy}")
        if bad > MOST * number:
            raise DataError(
                f"{self.name}: {bad} of {number} masks have another size than their images, too many to leave out "
                f"({told}).{remedy}"
            )
        if self.mismatch is None:
            raise DataError(
                f"{self.name}: {bad} of {number} masks have another size than their images ({told}).{remedy} "
                "Or remove these pairs."
            )

    def check_masks(self, number: int, without_targets: bool = False) -> None:
        """Refuse masks that are evidently wrong together: inverted, with classes as levels, or in several formats.

        Masks none of which has a target are refused too, unless ``without_targets``.

        Raises:
            DataError: naming some, and the remedy.
        """
        if self._inverted:
            raise DataError(
                f"{self.name}: in {len(self._inverted)} of {number} masks more than half of the pixels are target "
                f"({named(self._inverted)}): they are probably inverted. Write target as 255 and background as 0."
            )
        if len(self._losing) > LOSING * number:
            raise DataError(
                f"{self.name}: {len(self._losing)} of {number} masks hold places too faint to count as target "
                f"({named(self._losing)}): are their levels classes? {REMEDY}"
            )
        if len(self._kinds) > 1:
            raise DataError(
                f"{self.name}: target is transparency in {self._kinds[True]}, but colour in {self._kinds[False]}. "
                "Save all masks in one way."
            )
        if self.above and (two := _contradicting(self._whites, self.above)):
            raise DataError(f"{self.name}: masks contradict each other: target is {two[0]}, but {two[1]}. {REMEDY}")
        if not (self._targets or without_targets):
            raise DataError(f"{self.name} has no target in {number} masks: every mask is black.")


def _contradicting(whites: dict[tuple[float, float], str], above: int) -> list[str] | None:
    """Two masks whose whites do not agree, neither as stored nor as shares of what their depths can hold."""
    if not whites:
        return None

    def apart(value: dict[tuple[float, float], float]) -> bool:
        return min(value.values()) * 255 <= max(value.values()) * above

    stored = {key: key[0] for key in whites}
    share = {key: key[0] / key[1] for key in whites}
    if not (apart(stored) and apart(share)):
        return None
    ordered = sorted(whites, key=lambda key: share[key])
    return [f"{key[0]:g} in {whites[key]}" for key in (ordered[0], ordered[-1])]


def _aligned(image_path: Path, mask_path: Path, above: int, levels: Levels) -> tuple[Decoded, Mask]:
    """An image and its mask, turned alike.

    If EXIF turns one of the two and not the other, the mask was drawn on what a viewer shows or on what the file
    stores; their sizes tell which, or nothing does.

    Raises:
        DataError: if a file cannot be read, or nothing tells.
    """
    image, mask = decode_image(image_path, levels), decode_mask(mask_path, above)
    if image.orientation == mask.orientation:
        return image, mask
    stored, target = image.as_stored(), mask.as_stored()
    shown_fits, stored_fits = image.pixels.shape == mask.target.shape, stored.pixels.shape == target.shape
    if shown_fits and stored_fits:
        turned = image_path if image.orientation > 1 else mask_path
        raise DataError(
            f"{turned} is stored turned (EXIF orientation {max(image.orientation, mask.orientation)}) and its partner "
            "is not: the mask may be meant for either. Save both upright, without EXIF."
        )
    if stored_fits:
        return stored, replace(mask, target=target, orientation=1, level=None)
    return image, mask
