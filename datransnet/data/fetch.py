"""Fetching a dataset: verified by what is inside, and placed whole or not at all."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from datransnet.atomic import write_text
from datransnet.data.archives import KEPT, extract
from datransnet.data.catalogue import Card
from datransnet.data.download import BY_HAND, cache_folder, git_blob_hash, mirror_folder, obtain, placed_by_hand, remedy
from datransnet.data.images import read_image
from datransnet.data.inventory import inventoried
from datransnet.data.layouts import Layout, Pairs, find_layout
from datransnet.data.listing import UNREAD, files_below, is_foreign, is_noted
from datransnet.data.manifest import content_digest, pair_digest
from datransnet.data.masks import read_mask
from datransnet.errors import DataError


@dataclass(frozen=True)
class Fetched:
    """What came of a fetch.

    Attributes:
        source: the file, folder or address that the dataset came from.
        passed_over: why sources before it were not used, a sentence each.
        foreign: names of the files of other systems and programs that were left out.
    """

    source: str
    passed_over: tuple[str, ...]
    foreign: tuple[str, ...]


def pixel_digest(pairs: Pairs) -> str:
    """`datransnet.data.manifest.content_digest` of images and masks as they are, before any treatment.

    Raises:
        DataError: if a file cannot be read.
    """
    return content_digest(
        (id_, pair_digest(read_image(image), read_mask(mask))) for id_, (image, mask) in pairs.items()
    )


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` for the block's duration, in which no other process fetches the same."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    with lock, tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".partial") as place:
        yield Path(place)


def fetch(card: Card, folder: Path) -> Fetched:
    """Place a published dataset in ``folder``: its images, masks and split lists, verified.

    What a person has put into the folder ``by-hand`` comes first and is used or refused; otherwise the sources of the
    card are tried in their order, until one can be reached and holds what was published.

    Raises:
        DataError: if none does, or a split list is not as published.
    """
    with _scratch(folder) as scratch, inventoried(folder) as partial:
        layout, fetched = _first_verified(card, scratch)
        for item in card.lists:
            if item.url is not None:
                content = _list(item.url)
                if git_blob_hash(content) != item.blob:
                    blob = git_blob_hash(content)
                    raise DataError(f"The split list {item.url} is not as published (git blob {blob}).")
                (layout.root / item.path).parent.mkdir(exist_ok=True)
                (layout.root / item.path).write_bytes(content)
        layout.root.rename(partial)
    return fetched


def _list(url: str) -> bytes:
    """A published list."""
    try:
        return obtain(url).read_bytes()
    except DataError as error:
        raise DataError(f"{error} {remedy(url)}") from error


def _first_verified(card: Card, scratch: Path) -> tuple[Layout, Fetched]:
    """The dataset from the first source that holds it."""
    if by_hand := placed_by_hand(card.name):
        try:
            layout, foreign = _unpacked(card, by_hand, _folders(card), scratch / BY_HAND)
        except DataError as error:
            raise DataError(f"{error} Replace {by_hand}, or remove it so that other sources are tried.") from error
        return layout, Fetched(str(by_hand), (), tuple(foreign))
    failures = list[str]()
    for number, source in enumerate(card.sources):
        if source.url is None:
            continue
        try:
            layout, foreign = _unpacked(card, obtain(source.url), source.folders, scratch / str(number))
            return layout, Fetched(source.url, tuple(failures), tuple(foreign))
        except DataError as error:
            failures.append(str(error))
    pages = "; ".join(source.page for source in card.sources)
    place = (mirror_folder() or cache_folder()) / BY_HAND / card.name
    reasons = f"{' '.join(failures)} Fetch again, or d" if failures else f"{card.name} has no address. D"
    raise DataError(f"{reasons}ownload it by hand ({pages}) and put it at {place}.zip (or .tar.gz, or a folder).")


def _folders(card: Card) -> tuple[str, ...]:
    """Folders that are wanted in an archive of unknown origin: the last two names of those in every source."""
    return tuple("/".join(folder.split("/")[-2:]) for source in card.sources for folder in source.folders)


def _unpacked(card: Card, source: Path, folders: tuple[str, ...], place: Path) -> tuple[Layout, list[str]]:
    """The dataset that an archive or a folder holds, as unpacked below ``place``; and names of foreign files.

    Raises:
        DataError: if it is damaged or holds something else. A download is then removed.
    """
    place.mkdir()
    try:
        foreign = _copy(source, place) if source.is_dir() else extract(source, place, folders)
        if source.is_file() and not any(place.iterdir()):
            foreign = extract(source, place)
        layout = find_layout(place, source)
        _verify(card, layout, source)
    except DataError as error:
        if not source.is_file() or not source.is_relative_to(cache_folder()) or BY_HAND in source.parts:
            raise
        source.unlink()  # a download that is not what it should be is not kept
        raise DataError(f"{error} It was removed.") from error
    return layout, foreign


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


def _verify(card: Card, layout: Layout, source: Path) -> None:
    """Compare what was unpacked with what was published, or, where that is not known, with the first fetch here.

    Raises:
        DataError: saying what differs.
    """
    number = len(layout.pairs)
    if card.images and number != card.images:
        raise DataError(f"{source} holds {number} images, {card.name} has {card.images}.")
    published = {item.path: item.blob for item in card.lists if item.url is None}
    if card.pixels is not None:
        published["pixels"] = card.pixels
    elsewhere = {item.path for item in card.lists if item.url is not None}
    found = {"pixels": pixel_digest(layout.pairs)}
    for path in {path for parts in card.splits.values() for path in parts.values()} - elsewhere:
        file = layout.root / path
        found[path] = git_blob_hash(file.read_bytes()) if file.is_file() else "missing"
    record = cache_folder() / "first-fetches" / f"{card.name}.json"
    first = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    for what, digest in found.items():
        expected = published.get(what, first.get(what, digest))
        if digest != expected:
            which = "the pixels of its images and masks differ" if what == "pixels" else f"its list {what} differs"
            known = "published" if what in published else f"fetched first ({record})"
            raise DataError(
                f"{source} does not hold {card.name} as {known}: {which} (digest {digest[:12]}…, expected "
                f"{expected[:12]}…)."
            )
    unpublished = {what: digest for what, digest in found.items() if what not in published}
    if not unpublished.items() <= first.items():
        write_text(record, json.dumps(first | unpublished, indent=1) + "\n")
