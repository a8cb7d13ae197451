"""Fetching a dataset: verified by what is inside, and placed whole or not at all."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from datransnet.atomic import write_text
from datransnet.data.archives import KEPT, extract
from datransnet.data.catalogue import Archive, Card
from datransnet.data.download import BY_HAND, cache_folder, git_blob_hash, mirror_folder, obtain, placed_by_hand
from datransnet.data.inventory import inventoried
from datransnet.data.layouts import find_layout
from datransnet.data.listing import UNREAD, files_below, is_foreign, is_noted
from datransnet.errors import DataError


def content_digest(folder: Path, folders: tuple[str, ...] = ()) -> str:
    """sha256 of the ``sha256sum`` lines, sorted by path, of all images and lists of a dataset or of some folders."""
    files = [path for name in folders or (".",) for path in files_below(folder / name) if path.suffix.lower() in KEPT]
    by_path = sorted((path.relative_to(folder).as_posix().encode(), path) for path in files)
    text = b"".join(
        hashlib.sha256(path.read_bytes()).hexdigest().encode() + b"  " + name + b"\n" for name, path in by_path
    )
    return hashlib.sha256(text).hexdigest()


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` for the block's duration, in which no other process fetches the same."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    with lock, tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".partial") as place:
        yield Path(place)


def fetch(card: Card, folder: Path) -> list[str]:
    """Place a published dataset in ``folder``: its images, masks and split lists, verified.

    Returns:
        Names of the files of other systems and programs that were left out.

    Raises:
        DataError: if something is unreachable, damaged, or not the published content.
    """
    archive = card.archive
    assert archive is not None, f"{card.name} is generated"
    with _scratch(folder) as scratch, inventoried(folder) as partial:
        source = _source(card.name, archive)
        foreign = _copy(source, scratch) if source.is_dir() else extract(source, scratch, archive.folders)
        layout = find_layout(scratch, source)
        if card.images and len(layout.pairs) != card.images:
            raise DataError(
                f"{source} holds {len(layout.pairs)} images, {card.name} has {card.images}. Remove it and fetch again."
            )
        _verify(card.name, archive, source, content_digest(layout.root, archive.folders))
        for item in card.lists:
            content = obtain(item.url).read_bytes()
            if git_blob_hash(content) != item.blob:
                raise DataError(f"The split list {item.url} is not as published (git blob {git_blob_hash(content)}).")
            (layout.root / item.path).parent.mkdir(exist_ok=True)
            (layout.root / item.path).write_bytes(content)
        layout.root.rename(partial)
    return foreign


def fetch_folder(source: Path, folder: Path) -> list[str]:
    """Place a copy of a person's own dataset in ``folder``: images, masks and lists, in the layout they came in.

    Returns:
        Names of the files of other systems and programs that were left out.

    Raises:
        DataError: if the folder is missing or fits no layout.
    """
    if not source.is_dir():
        raise DataError(f"There is no folder {source} (data.source).")
    find_layout(source)  # what is wrong with it is told of the person's own files
    with _scratch(folder) as scratch, inventoried(folder) as partial:
        foreign = _copy(source, scratch)
        find_layout(scratch, source).root.rename(partial)
    return foreign


def _copy(source: Path, folder: Path) -> list[str]:
    """Copy the images and lists of a tree, also behind links; returns the names of foreign files among them."""
    foreign = []
    try:
        for path in files_below(source):
            inside = path.relative_to(source)
            if is_foreign(inside) or path.suffix.lower() in UNREAD:
                foreign += [inside.as_posix()] * is_noted(inside, KEPT)
            elif path.suffix.lower() in KEPT and (path.is_file() or path.is_symlink()):
                target = folder / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} is a link that leads nowhere. Mend or remove it.") from error
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read (permission denied). Change its permissions.") from error
    return foreign


def _source(name: str, archive: Archive) -> Path:
    """The archive of a dataset: what a person placed, the mirror's, or the source's."""
    if by_hand := placed_by_hand(name):
        return by_hand
    place = (mirror_folder() or cache_folder()) / BY_HAND
    remedy = f"Or download it by hand ({archive.page}) and put it at {place / name}.zip (or .tar.gz, or a folder)."
    if archive.url is None:
        raise DataError(f"{name} has no address to download from. {remedy[3].upper()}{remedy[4:]}")
    try:
        return obtain(archive.url)
    except DataError as error:
        raise DataError(f"{error} {remedy}") from error


def _verify(name: str, archive: Archive, source: Path, found: str) -> None:
    """Compare a content digest with the published one, or with the one of the first fetch."""
    record = cache_folder() / "digests" / f"{name}.txt"
    if archive.digest is None and not record.is_file():
        write_text(record, found + "\n")
        return
    expected = archive.digest or record.read_text(encoding="utf-8").strip()
    if found == expected:
        return
    where = "published" if archive.digest else f"fetched first ({record})"
    gone = source.is_file() and source.is_relative_to(cache_folder()) and BY_HAND not in source.parts
    if gone:
        source.unlink()  # a download that is not what it should be is not kept
    raise DataError(
        f"{source} does not hold {name} as {where}: its content digest is {found[:12]}…, expected {expected[:12]}…. "
        + ("It was removed: fetch again." if gone else "Remove it and fetch again.")
    )
