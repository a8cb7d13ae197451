"""Images and masks of any mode the datasets hold, read as 8-bit luminance and booleans."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from datransnet.errors import DataError

Luminance = npt.NDArray[np.uint8]
Truth = npt.NDArray[np.bool_]

SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
MASK_ABOVE = 127
"""Luminance above this is target: released masks hold grey values too."""
LARGEST_IMAGE = 64 * 10**6
"""Pixels; more is an error in the file or an attack."""


@dataclass(frozen=True)
class Decoded:
    """An image as it came: H×W luminance, uint8; its mode, as Pillow calls it."""

    pixels: Luminance
    mode: str


def decode_image(path: Path) -> Decoded:
    """Read an image of any mode.

    Colour, palette and alpha images: ITU-R 601 weights (0.299 R + 0.587 G + 0.114 B), alpha ignored. 16-bit images:
    scaled by 65535, rounded, never wrapped.

    Raises:
        DataError: if the file is missing, unreadable, damaged, too large, no image, or one of floating-point numbers.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > LARGEST_IMAGE:
                raise DataError(f"{path} has {image.width}×{image.height} pixels, more than an infrared image has.")
            image.load()
            if image.mode.startswith("I"):
                levels = np.asarray(image, dtype=np.float64).clip(0, 65535)
                return Decoded(np.rint(levels / 257).astype(np.uint8), image.mode)
            if image.mode == "F":
                raise DataError(f"{path} holds floating-point numbers, of unknown scale. Save it with 8 or 16 bits.")
            return Decoded(np.asarray(image.convert("L")), image.mode)
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Check the path, or fetch the dataset again.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder. Name the images in it.") from None
    except PermissionError:
        raise DataError(f"{path} cannot be read (permission denied). Change its permissions.") from None
    except (DataError, MemoryError):
        raise
    except Exception as error:  # on damaged files Pillow raises nearly anything
        raise DataError(f"{path} is damaged or no image ({error}). Replace it, or fetch the dataset again.") from error


def read_image(path: Path) -> Luminance:
    """The pixels of `decode_image`."""
    return decode_image(path).pixels


def read_mask(path: Path, above: int = MASK_ABOVE) -> Truth:
    """A mask as H×W booleans: luminance above ``above`` is target.

    Raises:
        DataError: as `decode_image`.
    """
    return read_image(path) > above


def write_png(path: Path, array: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Write an H×W image of 8 or 16 bits as PNG."""
    Image.fromarray(array).save(path, format="PNG", compress_level=1)  # a third of the time, a tenth more bytes
