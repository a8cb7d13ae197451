"""Which files of a dataset's folder were written there by this project, so that nobody else's are ever removed.

An inventory lies beside its folder, ``.NAME.inventory.json``: it stays whatever is removed first when a folder is, and
it is no part of the folder's content.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datransnet.atomic import atomic_path, write_text
from datransnet.data.listing import files_below


def _inventory(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.inventory.json")


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files_below(folder)]


def noted(folder: Path) -> set[str]:
    """Names, relative to a folder, of the files that were written into it; empty where it has no inventory."""
    try:
        return set(json.loads(_inventory(folder).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return set()


@contextmanager
def inventoried(folder: Path) -> Iterator[Path]:
    """As `atomic_path`, of a folder; what it holds at the end of the block is noted in its inventory.

    >>> target = Path(getfixture("tmp_path")) / "data"
    >>> with inventoried(target) as partial:
    ...     partial.mkdir()
    ...     _ = (partial / "a.txt").write_text("a", encoding="utf-8")
    >>> _ = (target / "mine.txt").write_text("mine", encoding="utf-8")
    >>> unnoted(target)
    ['mine.txt']
    """
    with atomic_path(folder) as partial:
        yield partial
        names = sorted({*_names(partial), *(noted(folder) if folder.exists() else ())})
        write_text(_inventory(folder), json.dumps(names, indent=0) + "\n")  # before: a kill must not leave it short


def unnoted(folder: Path) -> list[str]:
    """Names of the files in a folder that its inventory does not hold."""
    known = noted(folder)
    return [name for name in _names(folder) if name not in known]
