"""Which files of a dataset's folder were written there by this project, so that nobody else's are ever removed.

An inventory lies beside its folder, ``.NAME.inventory.json``: it stays whatever is removed first when a folder is, and
it is no part of the folder's content.
"""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datransnet.atomic import atomic_path, write_text
from datransnet.data.listing import files_below, is_foreign


def _inventory(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.inventory.json")


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in files_below(folder)}


Mark = list[int]
"""What tells a file from another of its name: its size, when it was written (in ns), and a checksum."""


def _mark(path: Path) -> Mark:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, zlib.crc32(path.read_bytes())]


def noted(folder: Path) -> dict[str, list[Mark]]:
    """Files that were written into a folder, by their names relative to it; empty where it has no inventory."""
    try:
        found = json.loads(_inventory(folder).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (FileNotFoundError, ValueError):
        return {}


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
        before = noted(folder) if folder.exists() else {}
        marks = before | {name: [*before.get(name, [])[-1:], _mark(path)] for name, path in _files(partial).items()}
        write_text(_inventory(folder), json.dumps(marks, indent=0) + "\n")  # of both: a kill may leave the old folder


def unnoted(folder: Path) -> list[str]:
    """Names of a folder's files that its inventory does not hold, or holds otherwise; not of those of other systems."""
    known, files = noted(folder), {name: path for name, path in _files(folder).items() if not is_foreign(Path(name))}
    return [name for name, path in files.items() if not any(_same(path, mark) for mark in known.get(name, []))]


def _same(path: Path, mark: Mark) -> bool:
    """Whether a file is the noted one; its content is read only where it was written at another time, as copies are."""
    if not path.is_file() or path.stat().st_size != mark[0]:
        return False
    return path.stat().st_mtime_ns == mark[1] or zlib.crc32(path.read_bytes()) == mark[2]
