"""One published file: from a mirror, from its source with resumption and retries, or placed by hand."""

import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock
from platformdirs import user_cache_path

from datransnet.errors import DataError

MIRROR_VARIABLE = "DATRANSNET_MIRROR"
RETRIES = 5
TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""
BY_HAND = "by-hand"
"""The folder, in the mirror or the cache, for archives that a person downloads."""
ENDINGS = (".zip", ".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2")


def cache_folder() -> Path:
    """Where downloads are kept, for all studies of a user."""
    return user_cache_path("datransnet")


def mirror_folder() -> Path | None:
    """The mirror, if ``DATRANSNET_MIRROR`` names one; it maps ``https://HOST/PATH`` to ``<folder>/HOST/PATH``."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    return Path(mirror).expanduser() if mirror else None


def place_of(url: str) -> str:
    """Where a mirror keeps a published file, relative to its folder.

    >>> place_of("https://example.org/data/a.zip")
    'example.org/data/a.zip'
    """
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def obtain(url: str) -> Path:
    """A local copy of a published file: the mirror's, or downloaded once and kept.

    Raises:
        DataError: if it is not in the mirror, or the source cannot be reached.
    """
    place = place_of(url)
    if mirror := mirror_folder():
        if not (mirror / place).is_file():
            raise DataError(f"The mirror {mirror} ({MIRROR_VARIABLE}) has no {place}.")
        return mirror / place
    return download(url, cache_folder() / place)


def remedy(url: str) -> str:
    """What to do where a published file cannot be obtained."""
    return f"Download {url} elsewhere, put it at <folder>/{place_of(url)} and set {MIRROR_VARIABLE}=<folder>."


def download(url: str, path: Path) -> Path:
    """Download a file, or go on where it was interrupted; several processes wait for the first.

    Raises:
        DataError: if the source cannot be reached, or does not deliver what it announces.
    """
    import gdown  # slow to import, and needs no place in a mirrored run
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.is_file():
            return path
        for last in (False, True):
            try:
                gdown.download(
                    url,
                    str(path),
                    quiet=not sys.stderr.isatty(),  # else it shows its progress
                    resume=True,
                    retries=RETRIES,
                    timeout=TIMEOUT,
                    use_cookies=False,
                )
                return path
            except (gdown.exceptions.DownloadError, gdown.exceptions.FileURLRetrievalError) as error:
                reason: Exception = error
            except requests.RequestException as error:
                reason = error
            begun = list(path.parent.glob(f"{path.name}????????.part"))
            if last or not begun:
                raise DataError(f"{url} cannot be downloaded ({reason.__class__.__name__}).") from reason
            for partial in begun:  # what is here may not fit what the source has now: once more from the start
                partial.unlink()
    raise AssertionError("the second try returns or raises")


def placed_by_hand(name: str) -> Path | None:
    """The archive or folder of a dataset that a person has put into ``by-hand``, if there is one."""
    for folder in (mirror_folder(), cache_folder()):
        for ending in ("", *ENDINGS):
            if folder and (path := folder / BY_HAND / f"{name}{ending}").exists():
                return path
    return None


def git_blob_hash(content: bytes) -> str:
    """The hash git gives a file's content.

    >>> git_blob_hash(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
