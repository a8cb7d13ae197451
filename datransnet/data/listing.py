"""Which files of a folder are the dataset's: other systems and programs leave files of their own among them."""

from collections.abc import Iterator
from pathlib import Path, PurePath

from datransnet.data.images import SUFFIXES

FOREIGN_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__pycache__")
FOREIGN_FILES = ("thumbs.db", "desktop.ini", "icon\r")
UNREAD = (".gif", ".webp", ".jp2", ".ppm", ".pgm", ".tga", ".jfif", ".heic", ".npy", ".mat")
"""Endings of pictures that are left out, with a word, since they are not read."""


def is_foreign(path: PurePath) -> bool:
    """Whether a path within a dataset is no file of its owner's: hidden (``._a.png``, ``.ipynb_checkpoints/a.png``,
    ``.DS_Store``), in a folder that a system keeps for itself, or a system's picture cache.

    >>> [is_foreign(PurePath(path)) for path in ("images/a.png", "images/._a.png", "__MACOSX/images/a.png")]
    [False, True, True]
    """
    hidden = any(part.startswith(".") or part in FOREIGN_FOLDERS for part in path.parts)
    return hidden or path.name.lower() in FOREIGN_FILES


def is_noted(path: PurePath, suffixes: tuple[str, ...]) -> bool:
    """Whether a file that is left out looks enough like one of the dataset's to be worth a word."""
    return path.suffix.lower() in (*suffixes, *UNREAD) or path.name.lower() in FOREIGN_FILES


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder in order, also behind links to folders, but for those that lead back to one above."""

    def below(place: Path, above: frozenset[Path]) -> Iterator[Path]:
        for path in sorted(place.iterdir()):
            if not path.is_dir():
                yield path
            elif (real := path.resolve()) not in above:
                yield from below(path, above | {real})

    return below(folder, frozenset({folder.resolve()}))


def images_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Image files that lie directly in a folder, in order, and files among them that are foreign or not read.

    A link that leads nowhere counts as an image: whoever reads it is told.
    """
    images, foreign = list[Path](), list[Path]()
    for path in sorted(folder.iterdir()):
        if is_foreign(PurePath(path.name)) or path.suffix.lower() in UNREAD:
            foreign.append(path)
        elif path.suffix.lower() in SUFFIXES and (path.is_file() or path.is_symlink()):
            images.append(path)
    return images, foreign
