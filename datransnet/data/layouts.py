"""Which image belongs to which mask in a folder, in every layout that datasets of the field come in.

    images/ + masks/                                 and, one folder deeper with img_idx/, BasicIRSTD's
    IRSTD1k_Img/ + IRSTD1k_Label/                    ISNet's
    mixed/ + annotations/masks/                      SIRST-V2's
    trainval/{images,masks} + test/{images,masks}    DATransNet's, and what our split stage writes

A mask is called as its image, with ``_pixels0`` or ``_mask`` behind.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datransnet.data.images import SUFFIXES
from datransnet.data.manifest import Part
from datransnet.errors import DataError

MASK_ENDINGS = ("", "_pixels0", "_mask")
"""What a mask's stem may add to its image's."""

KINDS = (("images", "masks"), ("IRSTD1k_Img", "IRSTD1k_Label"), ("mixed", "annotations/masks"))
"""Folders of images and of masks."""

SPLIT = ("trainval", "test")
"""Folders of parts, each with images and masks."""

FOLDERS = "folders"
"""The name of the split that these folders are."""

DEPTH = 3
"""Folders below the given one in which a layout is looked for."""

Pairs = dict[str, tuple[Path, Path]]
_LIST = re.compile(r"(train|val|test)(?:[_-](.+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
        root: the folder that the layout starts at.
        pairs: id → image and mask.
        parts: id → part, where folders say it.
        lists: split → part → its list of ids, where lists lie beside the images.
    """

    root: Path
    pairs: Pairs
    parts: dict[str, Part] = field(default_factory=dict)
    lists: dict[str, dict[Part, Path]] = field(default_factory=dict)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    yield folder
    if depth:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                yield from _below(path, depth - 1)


def _is_split(place: Path) -> bool:
    return all((place / part / kind).is_dir() for part in SPLIT for kind in KINDS[0])


def find_layout(folder: Path, called: Path | None = None) -> Layout:
    """The layout of a dataset's folder.

    Args:
        folder: the folder, or one up to three levels above.
        called: what to call it in errors, if it is a copy.

    Raises:
        DataError: if it fits no layout or several, or an image has no mask, or a mask no image.
    """
    called = called or folder
    if not folder.is_dir():
        raise DataError(f"There is no folder {called}. Fetch the dataset again.")
    fits: list[tuple[Path, tuple[str, str] | None]] = []
    for place in _below(folder, DEPTH):
        if _is_split(place):
            fits.append((place, None))
        elif place == folder or not (place.name in SPLIT and _is_split(place.parent)):
            fits += [(place, kind) for kind in KINDS if all((place / name).is_dir() for name in kind)]
    if len(fits) > 1:
        seen = [f"{place.relative_to(folder)}/ with {' and '.join(kind or SPLIT)}" for place, kind in fits]
        raise DataError(f"{called} fits {len(fits)} layouts ({'; '.join(seen)}). Keep one.")
    if not fits:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
        raise DataError(
            f"{called} fits no layout; it holds {there or 'nothing'}. Put images into images/ and masks, with the same "
            "names, into masks/."
        )
    root, kind = fits[0]
    if kind is not None:
        return Layout(root, find_pairs(root / kind[0], root / kind[1]), lists=_find_lists(root))
    pairs: Pairs = {}
    parts: dict[str, Part] = {}
    for part, name in (("train", "trainval"), ("test", "test")):
        found = find_pairs(root / name / "images", root / name / "masks")
        if both := sorted(set(found) & set(pairs)):
            raise DataError(f"{called}: {both[0]} is in trainval and in test. The split leaks.")
        pairs |= found
        parts |= dict.fromkeys(found, part)  # type: ignore[arg-type]
    return Layout(root, pairs, parts)


def _find_lists(root: Path) -> dict[str, dict[Part, Path]]:
    """Split lists below a folder, by what follows ``train``, ``val`` or ``test`` in their names, or by folder."""
    found: dict[str, dict[Part, Path]] = {}
    for path in sorted(root.rglob("*.txt")):
        if named := _LIST.fullmatch(path.stem):
            part: Part = named[1].lower()  # type: ignore[assignment]
            found.setdefault(named[2] or path.parent.name, {})[part] = path
    return {name: parts for name, parts in found.items() if {"train", "test"} <= set(parts)}


def _by_stem(folder: Path) -> dict[str, Path]:
    """Images of a folder by their names without ending, in one Unicode form."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            stem = unicodedata.normalize("NFC", path.stem)
            if stem in found:
                raise DataError(f"{folder} holds {found[stem].name} and {path.name}: remove one of them.")
            found[stem] = path
    return found


def find_pairs(images_folder: Path, masks_folder: Path) -> Pairs:
    """Image and mask of every id.

    Raises:
        DataError: if there is no image, or an image has no mask, or a mask no image; up to five are named.
    """
    images, masks = _by_stem(images_folder), _by_stem(masks_folder)
    pairs = {}
    for stem, image in images.items():
        ending = next((ending for ending in MASK_ENDINGS if stem + ending in masks), None)
        if ending is not None:
            pairs[stem] = (image, masks.pop(stem + ending))
    lonely = sorted(set(images) - set(pairs))
    for names, what, lacks in ((lonely, "images", "masks"), (sorted(masks), "masks", "images")):
        if names:
            raise DataError(
                f"{images_folder.parent}: {len(names)} {what} have no {lacks}: {', '.join(names[:5])}"
                f"{', …' if len(names) > 5 else ''}. Add what is missing or remove them."
            )
    if not pairs:
        raise DataError(f"{images_folder} holds no image ({', '.join(SUFFIXES)}).")
    return pairs


def read_list(path: Path) -> list[str]:
    """Ids of a split list: one a line, with or without extension, any line ends, with or without a byte order mark.

    Raises:
        DataError: if it is missing, no text, empty, or names an id twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"The split list {path} is missing. Fetch the dataset again.") from None
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"The split list {path} cannot be read ({error}). Save it as UTF-8 text.") from error
    lines = [unicodedata.normalize("NFC", line.strip()) for line in text.splitlines() if line.strip()]
    ids = [line[: -len(Path(line).suffix)] if Path(line).suffix.lower() in SUFFIXES else line for line in lines]
    if not ids or len(set(ids)) != len(ids):
        raise DataError(f"The split list {path} is empty or names an id twice.")
    return ids
