"""Images of any mode the datasets hold, read as 8-bit luminance."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from datransnet.errors import DataError, ParameterError

Luminance = npt.NDArray[np.uint8]
Truth = npt.NDArray[np.bool_]
Counts = npt.NDArray[Any]

SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
LARGEST_IMAGE = 64 * 10**6
"""Pixels; more is an error in the file or an attack."""

Levels = Literal["full", "minmax", "percentile"] | tuple[float, float]
"""Which stored values become black and white: 0 and the highest that the file's depth can hold (``full``), the lowest
and highest of each image (``minmax``), the percentiles `PERCENTILES` of each image, or two given values."""
PERCENTILES = (0.1, 99.99)
"""A small target is a few pixels in 65,536: a lower upper percentile would make it as bright as the clutter."""
FEW_LEVELS = 64
"""An image that keeps fewer of its levels than this has lost what faint targets are made of."""

# How an array whose first row and column are where EXIF's orientation says is brought upright, and back.
_UPRIGHT: dict[int, Callable[[Counts], Counts]] = {
    2: np.fliplr,
    3: lambda array: np.rot90(array, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda array: np.rot90(array, -1),
    7: lambda array: np.rot90(array, 2).T,
    8: np.rot90,
}
_INVERSE = {6: 8, 8: 6}


@dataclass(frozen=True)
class Decoded:
    """An image as it came.

    Attributes:
        pixels: H×W luminance, upright.
        mode: of the file, as Pillow calls it.
        orientation: EXIF's, from 1 (stored upright) to 8.
        held: number of different values in the file, if converting them to 8 bits may have merged some; else 0.
        kept: number of different values that are left in `pixels`; 0 if ``held`` is.
        plain: whether the file is a PNG that holds these pixels and nothing else, as `write_png` would write it anew.
    """

    pixels: Luminance
    mode: str
    orientation: int = 1
    held: int = 0
    kept: int = 0
    plain: bool = False

    @property
    def loses_levels(self) -> bool:
        """Whether these levels leave too little of what the file holds."""
        return self.kept < min(FEW_LEVELS, self.held)

    def as_stored(self) -> "Decoded":
        """The same image as its pixels lie in the file, whatever EXIF says."""
        return replace(self, pixels=as_stored(self.pixels, self.orientation), orientation=1)


def as_stored(array: Counts, orientation: int) -> Counts:
    """An upright array as its file stores it: the inverse of what EXIF's orientation asks a viewer to do."""
    back = _UPRIGHT.get(_INVERSE.get(orientation, orientation))
    return np.ascontiguousarray(back(array)) if back else array


def as_shown(array: Counts, orientation: int) -> Counts:
    """A stored array as a viewer shows it."""
    return np.ascontiguousarray(_UPRIGHT[orientation](array)) if orientation in _UPRIGHT else array


@dataclass(frozen=True)
class Stored:
    """An image file, open: Pillow's image, its EXIF orientation, and whether Pillow has applied that (as to TIFF).

    ``deep_colour`` says that the file has 16 bits a channel, of which Pillow reads the upper 8.
    """

    image: Image.Image
    orientation: int
    applied: bool
    deep_colour: bool

    def shown(self, array: Counts) -> Counts:
        """An array of the image's pixels, upright."""
        return array if self.applied else as_shown(array, self.orientation)


@contextmanager
def open_image(path: Path) -> Iterator[Stored]:
    """An image file with its pixels loaded.

    Raises:
        DataError: if the file is missing, unreadable, damaged, too large, no image, or holds several.
    """
    try:
        # By handle: a named file is mapped by Pillow, which then mangles an uncompressed TIFF that is stored turned.
        with path.open("rb") as file, Image.open(file) as image:
            if image.width * image.height > LARGEST_IMAGE:
                raise DataError(f"{path} has {image.width}×{image.height} pixels, more than an infrared image has.")
            if (pages := getattr(image, "n_frames", 1)) > 1:
                raise DataError(f"{path} holds {pages} images. Save the one that is meant in a file of its own.")
            deep = ";16" in str(image.tile) and not image.mode.startswith("I")
            orientation = _orientation(image)
            image.load()
            yield Stored(image, orientation, image.format == "TIFF", deep)
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Check the path, or fetch the dataset again.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder. Name the images in it.") from None
    except PermissionError:
        raise DataError(f"{path} cannot be read (permission denied). Change its permissions.") from None
    except (DataError, ParameterError, MemoryError):
        raise
    except Exception as error:  # on damaged files Pillow raises nearly anything
        raise DataError(f"{path} is damaged or no image ({error}). Replace it, or fetch the dataset again.") from error


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation; 1 where there is none, or damaged EXIF beside a sound image."""
    with suppress(Exception):
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
        return found if found in _UPRIGHT else 1
    return 1


def to_luminance(counts: Counts, levels: Levels, top: float = 255) -> Luminance:
    """Stored values H×W as luminance: linear from black to white, rounded, clipped.

    Args:
        counts: the stored values.
        levels: which become black and white.
        top: the highest value that the file's depth can hold.

    >>> to_luminance(np.array([[7000, 7100, 7200]]), "minmax").tolist()
    [[0, 128, 255]]
    """
    if isinstance(levels, tuple):
        low, high = levels
    elif levels == "full":
        low, high = 0, top
    elif levels == "minmax":
        low, high = float(counts.min()), float(counts.max())
    else:
        low, high = np.percentile(counts, PERCENTILES).tolist()
    scaled = (counts.astype(np.float64) - low) / max(high - low, np.finfo(float).tiny)
    luminance: Luminance = np.rint(scaled.clip(0, 1) * 255).astype(np.uint8)
    return luminance


def decode_image(path: Path, levels: Levels = "full") -> Decoded:
    """Read an image of any mode, upright.

    Colour, palette and alpha images: ITU-R 601 weights (0.299 R + 0.587 G + 0.114 B), alpha ignored. Images of more
    than 8 bits become 8-bit as ``levels`` says, never wrapped.

    Raises:
        DataError: as `open_image`; or if ``levels`` is ``full`` and the file holds values without a scale of their own:
            floating-point numbers, or integers below 0 or above 65535.
    """
    with open_image(path) as stored:
        image = stored.image
        if image.mode == "F" or image.mode.startswith("I"):
            return _from_counts(path, stored.shown(np.asarray(image)), levels, image.mode, stored.orientation)
        if stored.deep_colour and levels != "full":
            raise DataError(f"{path} has 16 bits a colour. Save it with one channel, or leave levels at full.")
        pixels = stored.shown(np.asarray(image.convert("L")))
        if levels == "full":
            plain = image.format == "PNG" and image.mode == "L" and stored.orientation == 1
            return Decoded(pixels, image.mode, stored.orientation, plain=plain)
        return _kept(pixels, to_luminance(pixels, levels), image.mode, stored.orientation)


def _from_counts(path: Path, counts: Counts, levels: Levels, mode: str, orientation: int) -> Decoded:
    """An image of more than 8 bits."""
    lowest, highest = float(counts.min()), float(counts.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise DataError(f"{path} holds values that are no numbers. Replace them.")
    if levels == "full" and (mode == "F" or lowest < 0 or highest > 65535):
        kind = "floating-point numbers" if mode == "F" else "integers"
        raise DataError(
            f"{path} holds {kind} from {lowest:g} to {highest:g}, of unknown scale. Say which are black and white: "
            "data.levels (--levels) minmax, percentile, or two values."
        )
    pixels = to_luminance(counts, levels, 65535)
    return _kept(counts, pixels, mode, orientation)


def _kept(counts: Counts, pixels: Luminance, mode: str, orientation: int) -> Decoded:
    """An image with how many of the levels that its file holds are left."""
    return Decoded(pixels, mode, orientation, len(np.unique(counts)), len(np.unique(pixels)))


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image as a viewer shows it, without decoding it; (1, 1) where the file is no image."""
    with suppress(Exception), Image.open(path) as image:
        turned = image.format != "TIFF" and _orientation(image) >= 5  # Pillow turns TIFF itself
        return (image.width, image.height) if turned else (image.height, image.width)
    return 1, 1


def read_image(path: Path, levels: Levels = "full") -> Luminance:
    """The pixels of `decode_image`."""
    return decode_image(path, levels).pixels


def parse_levels(text: str) -> Levels:
    """Levels as a command's option writes them.

    Raises:
        ParameterError: if they are none.

    >>> parse_levels("minmax"), parse_levels("7000,9000")
    ('minmax', (7000.0, 9000.0))
    """
    if text in ("full", "minmax", "percentile"):
        return text  # type: ignore[return-value]
    with suppress(ValueError):
        low, high = map(float, text.strip("[]()").split(","))
        if low < high and np.isfinite(high - low):
            return low, high
    raise ParameterError(f"levels = {text!r} must be full, minmax, percentile, or LOW,HIGH with LOW below HIGH.")


def write_png(path: Path, array: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Write an H×W image of 8 or 16 bits as PNG."""
    Image.fromarray(array).save(path, format="PNG", compress_level=1)  # a third of the time, a tenth more bytes
