"""Images and masks of any mode the datasets hold, read as 8-bit luminance and booleans."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from datransnet.errors import DataError

Luminance = npt.NDArray[np.uint8]
Truth = npt.NDArray[np.bool_]

SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")


def read_image(path: Path) -> Luminance:
    """An image as H×W luminance, uint8.

    Colour, palette and alpha images: ITU-R 601 weights (0.299 R + 0.587 G + 0.114 B), alpha ignored. 16-bit images:
    scaled by 65535, rounded, never wrapped.

    Raises:
        DataError: if the file is missing, truncated, or no image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode.startswith("I"):
                return np.rint(np.asarray(image, dtype=np.float64).clip(0, 65535) / 257).astype(np.uint8)
            return np.asarray(image.convert("L"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Fetch the dataset again.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}). Remove it and fetch the dataset again.") from error


def read_mask(path: Path) -> Truth:
    """A mask as H×W booleans: luminance above 127 is target (released masks hold grey values too).

    Raises:
        DataError: as `read_image`.
    """
    return read_image(path) > 127


def write_png(path: Path, array: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Write an H×W image of 8 or 16 bits as PNG."""
    Image.fromarray(array).save(path, format="PNG")
