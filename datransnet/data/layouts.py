"""Which image belongs to which mask in a folder, in every layout that datasets of the field come in.

    images/ + masks/                                 and, one folder deeper with img_idx/, BasicIRSTD's
    IRSTD1k_Img/ + IRSTD1k_Label/                    ISNet's
    mixed/ + annotations/masks/                      SIRST-V2's
    PNGImages/ + SIRST/BinaryMask/                   DenseSIRST's
    trainval/{images,masks} + test/{images,masks}    DATransNet's, and what our split stage writes

A mask is called as its image, with ``_pixels0`` or ``_mask`` behind.
"""

import re
import unicodedata
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datransnet.data.images import SUFFIXES
from datransnet.data.listing import files_below, images_in, is_foreign
from datransnet.data.manifest import Part
from datransnet.data.oddities import named
from datransnet.errors import DataError

MASK_ENDINGS = ("", "_pixels0", "_mask")
"""What a mask's stem may add to its image's."""

KINDS = (
    ("images", "masks"),
    ("IRSTD1k_Img", "IRSTD1k_Label"),
    ("mixed", "annotations/masks"),
    ("PNGImages", "SIRST/BinaryMask"),
)
"""Folders of images and of masks."""

SPLIT = ("trainval", "test")
"""Folders of parts, each with images and masks."""

FOLDERS = "folders"
"""The name of the split that these folders are."""

DEPTH = 3
"""Folders below the given one in which a layout is looked for."""

Pairs = dict[str, tuple[Path, Path]]

_PART = r"(trainval|train|val|test)(?:ing|idation|id|list|set)?"
_LIST = re.compile(rf"{_PART}(?:[_-](?P<behind>.+))?|(?P<before>.+)[_-]{_PART}", re.IGNORECASE)
"""Names of split lists: ``train``, ``TEST_IRSTD-1K``, ``nudt_val``, ``trainlist`` …"""


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
        root: the folder that the layout starts at.
        pairs: id → image and mask.
        parts: id → part, where folders say it.
        lists: split → part → its list of ids, where lists lie beside the images.
        foreign: files of other systems and programs, which are left out.
    """

    root: Path
    pairs: Pairs
    parts: dict[str, Part] = field(default_factory=dict)
    lists: dict[str, dict[Part, Path]] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()


def _below(folder: Path, depth: int, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """A folder and those below it, without links that lead back to one above."""
    yield folder
    above |= {folder.resolve()}
    for path in sorted(folder.iterdir()) if depth else ():
        if path.is_dir() and not is_foreign(Path(path.name)) and path.resolve() not in above:
            yield from _below(path, depth - 1, above)


def _is_split(candidate: Path) -> bool:
    return all((candidate / part / kind).is_dir() for part in SPLIT for kind in KINDS[0])


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
    for candidate in _below(folder, DEPTH):
        if _is_split(candidate):
            fits.append((candidate, None))
        elif candidate == folder or not (candidate.name in SPLIT and _is_split(candidate.parent)):
            fits += [(candidate, kind) for kind in KINDS if all((candidate / name).is_dir() for name in kind)]
    if len(fits) > 1:
        seen = [f"{candidate.relative_to(folder)}/ with {' and '.join(kind or SPLIT)}" for candidate, kind in fits]
        raise DataError(f"{called} fits {len(fits)} layouts ({'; '.join(seen)}). Keep one.")
    if not fits:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
        raise DataError(
            f"{called} fits no layout; it holds {there or 'nothing'}. Put images into images/ and masks, with the same "
            "names, into masks/."
        )
    root, kind = fits[0]
    shown = called / root.relative_to(folder)
    if kind is not None:
        pairs, foreign = _find_pairs(root, kind, shown)
        return Layout(root, pairs, lists=_find_lists(root, shown), foreign=tuple(foreign))
    pairs, foreign, parts = {}, [], dict[str, Part]()
    for part, name in (("train", "trainval"), ("test", "test")):
        inside, left = _find_pairs(root / name, KINDS[0], shown / name)
        if both := sorted(set(inside) & set(pairs)):
            raise DataError(f"{called}: {both[0]} is in trainval and in test. The split leaks.")
        pairs |= inside
        foreign += left
        parts |= dict.fromkeys(inside, part)  # type: ignore[arg-type]
    return Layout(root, pairs, parts, foreign=tuple(foreign))


def _find_lists(root: Path, shown: Path) -> dict[str, dict[Part, Path]]:
    """Split lists below a folder, by what stands before or behind the part in their names, or by folder.

    A list of training and validation images together is a training list, where none is there of its own.

    Raises:
        DataError: if two lists are of the same part and split; both are named.
    """
    splits: dict[str, dict[str, Path]] = {}
    for path in files_below(root):
        inside = path.relative_to(root)
        if path.suffix.lower() != ".txt" or is_foreign(inside) or not (words := _LIST.fullmatch(path.stem)):
            continue
        part = (words[1] or words[4]).lower()
        lists = splits.setdefault(words["behind"] or words["before"] or path.parent.name, {})
        if part in lists:
            first, second = (shown / other.relative_to(root) for other in (lists[part], path))
            raise DataError(f"{first} and {second} are two lists of one split and part. Rename or remove one of them.")
        lists[part] = path
    for lists in splits.values():
        if "trainval" in lists:
            both = lists.pop("trainval")
            lists.setdefault("train", both)
    return {name: lists for name, lists in splits.items() if {"train", "test"} <= set(lists)}  # type: ignore[misc]


def by_stem(folder: Path, shown: Path) -> tuple[dict[str, Path], list[str]]:
    """Images of a folder by their names without ending, in one Unicode form; and the names of foreign files."""
    stems: dict[str, Path] = {}
    images, foreign = images_in(folder)
    if nested := [path.name for path in sorted(folder.iterdir()) if path.is_dir() and _holds_images(path)]:
        raise DataError(
            f"{shown} holds folders with images ({named(nested)}). Put all images into {shown.name}/ itself."
        )
    for path in images:
        stem = unicodedata.normalize("NFC", path.stem)
        if any("\ud800" <= letter <= "\udfff" for letter in stem):
            raise DataError(f"{shown} holds {path.name!r}, whose name is not UTF-8. Rename it.")
        if stem in stems:
            raise DataError(f"{shown} holds {stems[stem].name} and {path.name}: remove one of them.")
        stems[stem] = path
    return stems, [path.name for path in foreign]


def _holds_images(folder: Path) -> bool:
    return not is_foreign(Path(folder.name)) and bool(images_in(folder)[0])


def _find_pairs(root: Path, kind: tuple[str, str], shown: Path) -> tuple[Pairs, list[str]]:
    """Image and mask of every id, and the names of foreign files among them.

    Args:
        root: the folder that holds both.
        kind: names of the folder of images and of that of masks.
        shown: what to call ``root`` in errors.

    Raises:
        DataError: if there is no image, or an image has no mask, or a mask no image; up to five are named.
    """
    (images, foreign), (masks, more) = (by_stem(root / name, shown / name) for name in kind)
    pairs = {}
    for stem, image in images.items():
        ending = next((ending for ending in MASK_ENDINGS if stem + ending in masks), None)
        if ending is not None:
            pairs[stem] = (image, masks.pop(stem + ending))
    lonely = sorted(set(images) - set(pairs))
    for names, what, lacks in ((lonely, "images", "masks"), (sorted(masks), "masks", "images")):
        if names:
            raise DataError(
                f"{shown}: {len(names)} {what} have no {lacks}: {named(names, 5)}. Add what is missing or remove them."
            )
    if not pairs:
        raise DataError(f"{shown / kind[0]} holds no image ({', '.join(SUFFIXES)}).")
    return pairs, foreign + more


def read_list(path: Path, known: Container[str] = ()) -> list[str]:
    """Ids of a split list: one a line, with or without extension, any line ends, with or without a byte order mark.

    A line may also name the file with its folder (``images/a.png``), and further columns may follow it.

    Args:
        path: the list.
        known: ids that there are; a line that is none of them as a whole is looked at in these ways.

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
    ids = [_id_of(line, known) for line in lines]
    if not ids or len(set(ids)) != len(ids):
        raise DataError(f"The split list {path} is empty or names an id twice.")
    return ids


def _id_of(line: str, known: Container[str]) -> str:
    """The id that a line names: the line, the name of a file in it, or its first column."""
    first = re.split(r"[\s,;]+", line)[0]
    for text in (line, _file_name(line), first, _file_name(first)):
        for id_ in (_without_suffix(text), text):
            if id_ in known:
                return id_
    return _without_suffix(line)


def _file_name(text: str) -> str:
    return text.replace("\\", "/").rpartition("/")[2]


def _without_suffix(text: str) -> str:
    return text[: -len(Path(text).suffix)] if Path(text).suffix.lower() in SUFFIXES else text
