"""Unpacking archives that nobody has checked yet: nothing leaves its folder, nothing grows without bound."""

import errno
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from datransnet.data.images import SUFFIXES
from datransnet.data.listing import is_foreign, is_noted
from datransnet.errors import DataError

KEPT = (*SUFFIXES, ".txt")
"""What is unpacked: images, masks and lists."""

LARGEST_FILE = 64 * 2**20
LARGEST_TOTAL = 8 * 2**30
MOST_FILES = 200_000
"""Limits of an archive, in bytes and files: no dataset of the field comes near them, an archive bomb does."""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE)
"""Errors of the machine, which say nothing about the archive."""


@dataclass(frozen=True)
class Member:
    """A regular file in an archive."""

    name: str
    size: int
    open: "Opener"


class Opener:
    """How to read one member."""

    def __init__(self, archive: tarfile.TarFile | zipfile.ZipFile, entry: tarfile.TarInfo | zipfile.ZipInfo) -> None:
        self.archive, self.entry = archive, entry

    def __call__(self) -> IO[bytes]:
        """The member's bytes."""
        if isinstance(self.archive, zipfile.ZipFile):
            assert isinstance(self.entry, zipfile.ZipInfo)
            return self.archive.open(self.entry)
        assert isinstance(self.entry, tarfile.TarInfo)
        source = self.archive.extractfile(self.entry)
        assert source is not None  # a regular file
        return source


def _members(path: Path) -> Iterator[Member]:
    """The regular files of a tar (any compression) or zip; links and devices are left out."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if not entry.is_dir() and kind in (0, stat.S_IFREG):
                    yield Member(entry.filename, entry.file_size, Opener(archive, entry))
        return
    with tarfile.open(path) as tar:
        for info in tar:
            if info.isfile():
                yield Member(info.name, info.size, Opener(tar, info))


@contextmanager
def _archive_errors(path: Path) -> Iterator[None]:
    """Whatever the readers raise on a damaged archive, as one error that names it."""
    try:
        yield
    except DataError:
        raise
    except (ValueError, RuntimeError, NotImplementedError) as error:  # names, passwords, methods beyond the readers
        reason = str(error).split("\n")[0]
        raise DataError(f"{path} cannot be unpacked ({reason}). Re-pack it as a plain zip or tar.gz.") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        reason = str(error).split("\n")[0]
        raise DataError(f"{path} is damaged ({reason}).") from error


def extract(path: Path, folder: Path, folders: tuple[str, ...] = ()) -> list[str]:
    """Unpack the images and lists of a zip or tar below ``folder``.

    Only regular files at plain relative paths are written, so neither a link nor a path leads out of ``folder``.

    Args:
        path: the archive.
        folder: where to.
        folders: those that are wanted, wherever they lie in it (``data/a`` is any ``a`` in a ``data``); all if empty.

    Returns:
        Names of the files of other systems and programs that were left out.

    Raises:
        DataError: if the archive is damaged, escapes its folder, names a file twice, or exceeds the limits.
        OSError: if the disk is full or refuses.
    """
    total, number, foreign = 0, 0, list[str]()
    with _archive_errors(path):
        for member in _members(path):
            inside = PurePosixPath(member.name.replace("\\", "/"))
            if folders and not any(f"/{folder}/" in f"/{inside.as_posix()}" for folder in folders):
                continue
            if is_foreign(PurePosixPath(*(part for part in inside.parts if part not in (".", "..")))):
                foreign += [member.name] * is_noted(inside, KEPT)
                continue
            if inside.suffix.lower() not in KEPT:
                continue
            total, number = total + member.size, number + 1
            unsafe = inside.is_absolute() or ".." in inside.parts or ":" in member.name or "\0" in member.name
            if unsafe or member.size > LARGEST_FILE or total > LARGEST_TOTAL or number > MOST_FILES:
                raise DataError(f"{path} holds {member.name!r} ({member.size} bytes), which is not safe to unpack.")
            target = folder / inside
            if target.exists():
                raise DataError(f"{path} holds {member.name!r} twice. Re-pack it.")
            target.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
    return foreign
