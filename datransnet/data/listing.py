"""Which files of a folder are the dataset's: other systems and programs leave files of their own among them."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from datransnet.data.images import SUFFIXES

FOREIGN_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__pycache__")
FOREIGN_FILES = ("thumbs.db", "desktop.ini", "icon\r")


def is_foreign(path: PurePath) -> bool:
    """Whether a path within a dataset is no file of its owner's: hidden (``._a.png``, ``.ipynb_checkpoints/a.png``,
    ``.DS_Store``), in a folder that a system keeps for itself, or a system's picture cache.

    >>> [is_foreign(PurePath(path)) for path in ("images/a.png", "images/._a.png", "__MACOSX/images/a.png")]
    [False, True, True]
    """
    hidden = any(part.startswith(".") or part in FOREIGN_FOLDERS for part in path.parts)
    return hidden or path.name.lower() in FOREIGN_FILES


def is_noted(path: PurePath, suffixes: tuple[str, ...]) -> bool:
    """Whether a foreign file looks enough like one of the dataset's, or is known enough, to be worth a word."""
    return path.suffix.lower() in suffixes or path.name.lower() in FOREIGN_FILES


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder in order, also behind links to folders; each folder once, so that circles end."""
    seen = set[str]()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(place, name) for name in sorted(files))


def images_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Image files that lie directly in a folder, in order, and foreign files among them.

    A link that leads nowhere counts as an image: whoever reads it is told.
    """
    images, foreign = list[Path](), list[Path]()
    for path in sorted(folder.iterdir()):
        if is_foreign(PurePath(path.name)):
            foreign.append(path)
        elif path.suffix.lower() in SUFFIXES and (path.is_file() or path.is_symlink()):
            images.append(path)
    return images, foreign
