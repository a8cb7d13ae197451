"""Which image belongs to which mask in a folder."""

from pathlib import Path

from datransnet.data.images import SUFFIXES
from datransnet.errors import DataError

MASK_ENDINGS = ("", "_pixels0", "_mask")
"""What a mask's stem may add to its image's."""


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Fetch the dataset again.")
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def find_pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Image and mask of every id in ``folder/images`` and ``folder/masks``, by id.

    Raises:
        DataError: if a folder is missing, or an image has no mask, or a mask no image; up to five are named.
    """
    images, masks = _by_stem(folder / "images"), _by_stem(folder / "masks")
    pairs = {}
    for stem, image in images.items():
        ending = next((ending for ending in MASK_ENDINGS if stem + ending in masks), None)
        if ending is not None:
            pairs[stem] = (image, masks.pop(stem + ending))
    lonely = sorted(set(images) - set(pairs))
    for names, what, lacks in ((lonely, "images", "masks"), (sorted(masks), "masks", "images")):
        if names:
            raise DataError(
                f"{folder}: {len(names)} {what} have no {lacks}: {', '.join(names[:5])}"
                f"{', …' if len(names) > 5 else ''}. Add what is missing or remove them."
            )
    if not pairs:
        raise DataError(f"{folder}/images holds no image ({', '.join(SUFFIXES)}).")
    return pairs


def read_list(path: Path) -> list[str]:
    """Ids of a split list: one a line, with or without extension, any line ends.

    Raises:
        DataError: if it is missing, empty, or names an id twice.
    """
    if not path.is_file():
        raise DataError(f"The split list {path} is missing. Fetch the dataset again.")
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    ids = [line[: -len(Path(line).suffix)] if Path(line).suffix.lower() in SUFFIXES else line for line in lines]
    if not ids or len(set(ids)) != len(ids):
        raise DataError(f"The split list {path} is empty or names an id twice.")
    return ids
