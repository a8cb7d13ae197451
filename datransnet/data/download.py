"""Fetching a dataset: from a mirror or its source, verified by what is inside, and placed whole or not at all."""

import hashlib
import os
import shutil
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

from datransnet.atomic import atomic_path
from datransnet.data.catalogue import Archive, Card
from datransnet.errors import DataError

MIRROR_VARIABLE = "DATRANSNET_MIRROR"
LARGEST_FILE = 64 * 2**20
LARGEST_TOTAL = 8 * 2**30
"""Limits of an unpacked archive, in bytes: no image of these datasets comes near them, an archive bomb does."""


def obtain(url: str) -> Path:
    """A local copy of a published file: from the mirror folder if one is set, else downloaded once and kept.

    ``DATRANSNET_MIRROR=<folder>`` maps ``https://HOST/PATH`` to ``<folder>/HOST/PATH``.

    Raises:
        DataError: if it is not in the mirror, or the source cannot be reached.
    """
    parts = urlsplit(url)
    place = f"{parts.netloc}{parts.path}"
    remedy = f"Download {url} elsewhere, put it at <folder>/{place} and set {MIRROR_VARIABLE}=<folder>."
    if mirror := os.environ.get(MIRROR_VARIABLE):
        path = Path(mirror).expanduser() / place
        if not path.is_file():
            raise DataError(f"The mirror {mirror} has no {place}. {remedy}")
        return path
    import pooch  # slow to import, and needs no place in a mirrored run

    pooch.get_logger().setLevel("WARNING")  # it would ask the user to note a hash; ours is of the content
    cache = pooch.os_cache("datransnet") / parts.netloc / Path(parts.path.lstrip("/")).parent
    name = Path(parts.path).name
    try:
        return Path(pooch.retrieve(url, known_hash=None, fname=name, path=cache, progressbar=False))
    except Exception as error:  # whatever the HTTP library raises, the user's remedy is the same
        raise DataError(f"{url} cannot be downloaded ({error.__class__.__name__}). {remedy}") from error


def git_blob_hash(content: bytes) -> str:
    """The hash git gives a file's content.

    >>> git_blob_hash(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def content_digest(folder: Path, folders: tuple[str, ...]) -> str:
    """sha256 of the ``sha256sum`` lines, sorted by path, of all png and txt files in some folders of a dataset."""
    files = [path for name in folders for path in (folder / name).rglob("*") if path.suffix in (".png", ".txt")]
    by_path = sorted((path.relative_to(folder).as_posix().encode(), path) for path in files)
    text = b"".join(
        hashlib.sha256(path.read_bytes()).hexdigest().encode() + b"  " + name + b"\n" for name, path in by_path
    )
    return hashlib.sha256(text).hexdigest()


def extract(path: Path, archive: Archive, folder: Path) -> None:
    """Unpack the wanted png and txt files of a tar archive below ``folder``, without its root folder.

    Only regular files at plain relative paths are written, so no link or path leads out of ``folder``.

    Raises:
        DataError: if the archive is damaged, escapes its folder, or exceeds the limits.
    """
    total = 0
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                inside = Path(*Path(member.name).parts[1:])
                if (
                    not member.isfile()
                    or inside.suffix not in (".png", ".txt")
                    or inside.parts[0] not in archive.folders
                ):
                    continue
                total += member.size
                if ".." in inside.parts or member.size > LARGEST_FILE or total > LARGEST_TOTAL:
                    raise DataError(f"{path} holds {member.name} ({member.size} bytes), which is not safe to unpack.")
                (folder / inside).parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                assert source is not None  # a regular file
                with (folder / inside).open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the archive
        raise DataError(f"{path} is damaged ({error}). Remove it and fetch again.") from error


def fetch(card: Card, folder: Path) -> None:
    """Place a published dataset in ``folder``: its images, masks and split lists, verified.

    Raises:
        DataError: if something is unreachable, damaged, or not the published content.
    """
    assert card.archive is not None, f"{card.name} is generated"
    with atomic_path(folder) as partial:
        partial.mkdir()
        source = obtain(card.archive.url)
        extract(source, card.archive, partial)
        found = content_digest(partial, card.archive.folders)
        if found != card.archive.digest:
            raise DataError(
                f"{source} does not hold {card.name} as published: its content digest is {found[:12]}…, expected "
                f"{card.archive.digest[:12]}…. Remove it and fetch again."
            )
        for item in card.lists:
            content = obtain(item.url).read_bytes()
            if git_blob_hash(content) != item.blob:
                raise DataError(f"The split list {item.url} is not as published (git blob {git_blob_hash(content)}).")
            (partial / item.path).parent.mkdir(exist_ok=True)
            (partial / item.path).write_bytes(content)
