"""Masks of any depth, colour and mode, read as booleans where their meaning is certain and refused by name elsewhere.

A pixel's *level* is its brightest channel, so that a red or blue target counts as a white one does. What level is
target is certain where a mask has two, 0 and another, whatever that is: 1, 255, 65535, the red of a palette. A mask of
more levels is a grey one on the scale of its depth, and ``above`` decides. Where the scale is not certain, ``above`` 0
makes it so: then everything that is not black is target.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from datransnet.data.images import Counts, Stored, Truth, as_stored, open_image
from datransnet.errors import DataError

MASK_ABOVE = 127
"""Levels above this one (of 255) are target; released masks hold grey values too."""
COLOURED = 32
"""Channels of a coloured mask differ by more; a grey one saved as JPEG may differ by less."""
BRIGHT = 0.75
"""The brightest level of a grey mask is at least this share of white: nearer to ``above``, noise would decide."""
MOST_LEVELS = 32
"""A file of more levels is a lossy or smoothed mask, or, where most of it is grey, a picture."""
FAINT = 31
"""A level, of 255. In a mask of more than `MOST_LEVELS` levels, fainter pixels count as noise from JPEG; a group of
brighter ones, none of which is bright enough to count as target, counts as a target that was lost by mistake."""

REMEDY = (
    "Write target as 255 and everything else as 0, or set data.mask_above (--mask-above) to 0: then everything that is "
    "not black is target."
)


@dataclass(frozen=True)
class Mask:
    """A mask as it came.

    Attributes:
        target: H×W booleans, upright.
        white: the level that stands for target, as stored; 0 where the mask is black.
        top: the highest level that the file's depth can hold.
        grey: whether it holds levels between black and white.
        coloured: whether its channels differ.
        alpha: whether the mask is the file's transparency.
        lost: groups of faint pixels that do not count as target.
        orientation: EXIF's.
        level: H×W, what the file stores, upright.
    """

    target: Truth
    white: float
    top: float
    grey: bool = False
    coloured: bool = False
    alpha: bool = False
    lost: int = 0
    orientation: int = 1
    level: Counts | None = None

    def shares(self) -> npt.NDArray[np.float32]:
        """The target as shares of white, H×W in [0, 1]: below 1 where a mask is grey, 0 where nothing is target."""
        assert self.level is not None, "only a decoded mask has levels"
        white = self.top if self.white * 2 > self.top else self.white  # a mask of 0 and 1 is black and white
        return np.where(self.target, (self.level / max(white, 1)).clip(0, 1), 0).astype(np.float32)

    def as_stored(self) -> Truth:
        """The booleans as they lie in the file, whatever EXIF says."""
        return as_stored(self.target, self.orientation)


def decode_mask(path: Path, above: int = MASK_ABOVE) -> Mask:
    """Read a mask; see the module for what is certain.

    Args:
        path: the file.
        above: of 255: levels above this are target.

    Raises:
        DataError: as `open_image`; or if it is not certain what is target.
    """
    with open_image(path) as stored:
        level, alpha, coloured = _level(path, stored, above)
        of_colours, lossy = coloured or stored.image.mode in ("P", "PA"), stored.image.format == "JPEG"
        mask = _decided(path, level, above, of_colours, lossy)
        return replace(
            mask,
            target=stored.shown(mask.target),
            coloured=coloured,
            alpha=alpha,
            orientation=stored.orientation,
            level=stored.shown(level),
        )


def read_mask(path: Path, above: int = MASK_ABOVE) -> Truth:
    """A mask as H×W booleans: the target of `decode_mask`."""
    return decode_mask(path, above).target


def _level(path: Path, stored: Stored, above: int) -> tuple[Counts, bool, bool]:
    """Brightest channel of each pixel, or the transparency where that is the mask; and whether colours differ."""
    image = stored.image
    if stored.deep_colour:
        raise DataError(f"{path} has 16 bits a colour, of which masks need 8. Save it with one channel or 8 bits.")
    if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint8) * 255 if image.mode == "1" else np.asarray(image), False, False
    if image.mode in ("P", "PA") and lost_palette(image):
        raise DataError(
            f"{path} has a palette that gives several of its indices one colour. Save it without a palette."
        )
    pixels = np.asarray(image.convert("RGBA"))
    colours, transparency = pixels[..., :3], pixels[..., 3]
    level: npt.NDArray[np.uint8] = colours.max(axis=2)
    coloured = bool((np.ptp(colours, axis=2) > COLOURED).any())
    if transparency.min() == transparency.max():
        transparent = transparency.max() == 0 and level.min() == level.max()  # nothing is to be seen
        return level * (not transparent), False, coloured
    if level.min() == level.max():
        return transparency, True, False
    if ((level > 0) != (transparency > 0)).any() and ((level > above) != (transparency > above)).any():
        raise DataError(
            f"{path} is one mask by its colours and another by its transparency. Save it without the wrong one."
        )
    return level, False, coloured


def lost_palette(image: Image.Image) -> bool:
    """Whether pixels of different indices have one colour: then colours do not tell what the indices did."""
    indices = np.unique(np.asarray(image.getchannel("P") if image.mode == "PA" else image))
    table = np.zeros((256, 3), dtype=np.uint8)
    entries = np.asarray(image.getpalette() or [], dtype=np.uint8).reshape(-1, 3)
    table[: len(entries)] = entries
    return len(np.unique(table[indices], axis=0)) < len(indices)


def _decided(path: Path, level: Counts, above: int, of_colours: bool, lossy: bool) -> Mask:
    """What of some levels is target.

    Raises:
        DataError: where that is not certain.
    """
    highest, lowest = float(level.max()), float(level.min())
    if not (np.isfinite(highest) and lowest >= 0):
        raise DataError(f"{path} holds values below 0, or no numbers. {REMEDY}")
    top = 255.0 if level.dtype == np.uint8 else 65535.0
    if bool(((level == 0) | (level == highest)).all()):
        return Mask(level > 0, highest, top)
    count = len(np.unique(level))
    if above == 0 and lossy:
        raise DataError(
            f"{path} holds {count} levels, as JPEG leaves them: all but black would be noise too. Save a PNG."
        )
    if above == 0:
        return Mask(level > 0, highest, top, grey=True)
    white = _white(level, highest, top)
    if white is None:
        raise DataError(f"{path} holds {count} levels up to {highest:g}, none of which is certainly target. {REMEDY}")
    scaled = level * (255 / white)
    if count > MOST_LEVELS and FAINT / 2 < np.median(scaled) < 255 - FAINT:
        raise DataError(
            f"{path} holds {count} levels, and most of it is grey: it looks like an image, not like a mask."
        )
    target = scaled > above
    lost = _lost(scaled > (FAINT if count > MOST_LEVELS else 0), target)
    if lost and of_colours:
        raise DataError(f"{path} has {lost} places of a colour too dark to count as target. {REMEDY}")
    return Mask(target, white, top, grey=True, lost=lost)


def _white(level: Counts, highest: float, top: float) -> float | None:
    """White of a grey mask: that of its depth, or of 8 bits in a wider file; None if it is brighter or fainter."""
    if level.dtype.kind == "f":
        return None
    return next((white for white in (top, 255.0) if white * BRIGHT < highest <= white), None)


def _lost(visible: Truth, target: Truth) -> int:
    """Groups of visible pixels without one that counts as target."""
    labels, number = ndimage.label(visible, np.ones((3, 3)))
    return int(number) - len(np.unique(labels[target & visible]))


Values = TypeVar("Values", np.bool_, np.float32)


def resized(mask: npt.NDArray[Values], height: int, width: int) -> npt.NDArray[Values]:
    """A mask at another size, nearest neighbour."""
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST), dtype=mask.dtype)


def resized_by_corners(mask: npt.NDArray[Values], height: int, width: int) -> npt.NDArray[Values]:
    """A mask at another size as OpenCV's ``INTER_NEAREST`` has it: the corner of a pixel, not its centre, decides.

    Scripts that resize by OpenCV have other masks than those that resize by Pillow, and so other numbers.

    >>> row = np.array([[False, True, False, True]])
    >>> resized(row, 1, 2).tolist(), resized_by_corners(row, 1, 2).tolist()
    ([[True, True]], [[False, False]])
    """
    rows, columns = (np.arange(new) * old // new for new, old in zip((height, width), mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]
