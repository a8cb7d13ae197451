"""Splitting a dataset: published lists or drawn parts, known faults treated as told, one layout written."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from datransnet.atomic import atomic_path
from datransnet.data.catalogue import Card
from datransnet.data.duplicates import groups
from datransnet.data.images import MASK_ABOVE, write_png
from datransnet.data.layouts import FOLDERS, Layout, Pairs, find_layout, read_list
from datransnet.data.manifest import PARTS, Item, Manifest, Part, image_digest, pair_digest
from datransnet.data.sanitation import Examination, Pair, read_pair
from datransnet.errors import DataError, ParameterError
from datransnet.metrics.components import components
from datransnet.registry import did_you_mean
from datransnet.seeding import derive_seed

Mismatch = Literal["exclude", "resize_mask"]
"""What to do with a mask whose size is not its image's: leave the pair out, or resize the mask (nearest)."""

RANDOM = "random"
"""The name of a split that is drawn."""
_FOLD = re.compile(r"fold_(\d+)_of_(\d+)")
SANITATION = "sanitation.json"


def fold_of(split: str) -> tuple[int, int] | None:
    """Number (from 1) and count of folds that the name of a split asks for.

    Raises:
        ParameterError: if there is no such fold.

    >>> fold_of("fold_2_of_5"), fold_of("50_50")
    ((2, 5), None)
    """
    if not (named := _FOLD.fullmatch(split)):
        return None
    number, count = int(named[1]), int(named[2])
    if not 1 <= number <= count or count < 2:
        raise ParameterError(f"There is no {split}: folds are fold_1_of_{max(2, count)} to fold_{count}_of_{count}.")
    return number, count


def known_split(split: str, published: list[str]) -> None:
    """Check the name of a split against those that there are.

    Raises:
        ParameterError: with a suggestion, if it is none of them and none that can be drawn.
    """
    if split not in published and split != RANDOM and fold_of(split) is None:
        raise ParameterError(f"there is no split {split!r}. {did_you_mean(split, [*published, RANDOM, 'fold_1_of_5'])}")


def given_parts(card: Card, layout: Layout, split: str) -> dict[str, Part]:
    """Part of every id as published, or as the dataset's own lists or folders say; empty where parts are to be drawn.

    Raises:
        ParameterError: if the dataset has no such split.
        DataError: if an id is in two parts.
    """
    if split == FOLDERS and layout.parts:
        return layout.parts
    lists: dict[Part, Path] = dict(layout.lists.get(split, {}))
    if split in card.splits:
        lists = {part: layout.root / card.splits[split][part] for part in PARTS if part in card.splits[split]}
    parts: dict[str, Part] = {}
    for part in PARTS:
        for id_ in read_list(lists[part]) if part in lists else []:
            if id_ in parts:
                raise DataError(f"{card.name} {split}: {id_} is in {parts[id_]} and in {part}. The split leaks.")
            parts[id_] = part
    if not parts:
        known_split(split, [*layout.lists, *([FOLDERS] if layout.parts else [])])
    return parts


def _strata(
    items: list[Item], alike: list[tuple[str, str]], pixels: dict[str, int], rng: np.random.Generator
) -> list[list[Item]]:
    """Items in groups of near duplicates, sorted by (targets, target pixels, a random order)."""
    places = {item.id: place for place, item in enumerate(items)}
    labels = groups(len(items), [(places[a], places[b]) for a, b in alike if a in places and b in places])
    together: dict[int, list[Item]] = {}
    for item, label in zip(items, labels, strict=True):
        together.setdefault(int(label), []).append(item)
    shuffled = [list(together.values())[index] for index in rng.permutation(len(together))]
    return sorted(shuffled, key=lambda group: (group[0].targets, pixels[group[0].id]))


def carve(
    items: list[Item], alike: list[tuple[str, str]], pixels: dict[str, int], share: float, part: Part, seed: int
) -> list[Item]:
    """Move a share of the training items to another part.

    Stratified by number of targets and their pixels: of every 1/share groups in that order, one is drawn. Near
    duplicates stay on one side.
    """
    rng = np.random.default_rng(seed)
    ordered = _strata([item for item in items if item.part == "train"], alike, pixels, rng)
    number = max(1, round(share * len(ordered)))
    blocks = np.array_split(np.arange(len(ordered)), number)
    chosen = {item.id for block in blocks if len(block) for item in ordered[rng.choice(block)]}
    return [replace(item, part=part) if item.id in chosen else item for item in items]


def fold(
    items: list[Item], alike: list[tuple[str, str]], pixels: dict[str, int], number: int, count: int, seed: int
) -> list[Item]:
    """Items with fold ``number`` of ``count`` as test part, the others as training part.

    Stratified as in `carve`: groups are dealt out to the folds in rounds, each round in a random order.
    """
    rng = np.random.default_rng(seed)
    ordered = _strata(items, alike, pixels, rng)
    test = set()
    for start in range(0, len(ordered), count):
        place = start + int(rng.permutation(count)[number - 1])
        test |= {item.id for item in ordered[place]} if place < len(ordered) else set()
    return [replace(item, part="test" if item.id in test else "train") for item in items]


def _fitted(pair: Pair, mismatch: Mismatch) -> tuple[Pair, str]:
    """The pair with a mask of its image's size, and what was wrong with it ("" if nothing)."""
    image, mask = pair.image, pair.mask
    if image.shape == mask.shape:
        return pair, ""
    fault = f"mask {mask.shape[1]}×{mask.shape[0]} for an image of {image.shape[1]}×{image.shape[0]}"
    if mismatch == "resize_mask":
        resized = Image.fromarray(mask).resize(image.shape[::-1], Image.Resampling.NEAREST)
        pair = replace(pair, mask=np.asarray(resized, dtype=bool))
    return pair, fault


def split(
    card: Card,
    raw: Path,
    folder: Path,
    name: str,
    *,
    seed: int,
    mismatch: Mismatch = "exclude",
    mask_above: int = MASK_ABOVE,
    validation_share: float = 0.2,
    test_share: float = 0.2,
) -> Manifest:
    """Write ``folder/{trainval,test}/{images,masks}``, ``manifest.json`` and ``sanitation.json`` from a dataset.

    Images become 8-bit luminance PNG, masks 0/255 PNG. Validation images lie in ``trainval``; the manifest names them.

    Args:
        card: the dataset.
        raw: where it was fetched to.
        folder: what to write, whole or not at all.
        name: the split: a published one, one whose lists or folders the dataset brings, ``random``, or
            ``fold_<number>_of_<count>``.
        seed: of what is drawn.
        mismatch: see `Mismatch`; every case is listed in the manifest.
        mask_above: luminance of a mask above which a pixel is target.
        validation_share: of the training part, where no validation part is given.
        test_share: of all images, for ``random``.

    Raises:
        DataError: if an image or list is missing, damaged, or contradicts another.
        ParameterError: if the split is unknown.
    """
    layout = find_layout(raw)
    parts = given_parts(card, layout, name) or dict.fromkeys(layout.pairs, "train")
    if missing := sorted(set(parts) - set(layout.pairs)):
        raise DataError(f"{raw}: {len(missing)} ids of split {name} have no image: {', '.join(missing[:5])}.")
    items: list[Item] = []
    pixels: dict[str, int] = {}
    excluded: dict[str, str] = {}
    treated: dict[str, str] = {}
    seen = Examination()
    with atomic_path(folder) as partial:
        for kind in ("images", "masks"):
            (partial / kind).mkdir(parents=True)
        for id_, pair in _read_all({id_: layout.pairs[id_] for id_ in sorted(parts)}, mask_above):
            pair, fault = _fitted(pair, mismatch)
            if fault:
                seen.mismatched[id_] = fault
            if fault and mismatch == "exclude":
                excluded[id_] = fault
                continue
            if fault:
                treated[id_] = f"{fault}: mask resized (nearest)"
            areas = components(pair.mask).areas
            height, width = pair.image.shape
            digests = pair_digest(pair.image, pair.mask), image_digest(pair.image)
            items.append(Item(id_, parts[id_], height, width, len(areas), *digests))
            pixels[id_] = int(pair.mask.sum())
            seen.add(id_, pair, areas)
            write_png(partial / "images" / f"{id_}.png", pair.image)
            write_png(partial / "masks" / f"{id_}.png", pair.mask.astype(np.uint8) * 255)
        _check_masks(card.name, seen, pixels)
        items = _drawn(items, parts, seen.alike(), pixels, name, validation_share, test_share, seed)
        _sort_in(partial, items)
        manifest = Manifest(card.name, name, tuple(items), excluded, treated)
        manifest.write(partial / "manifest.json")
        (partial / SANITATION).write_text(
            json.dumps({"schema": 1, **seen.summary(items)}, indent=1) + "\n", encoding="utf-8"
        )
    return manifest


def _read_all(pairs: Pairs, mask_above: int) -> Iterator[tuple[str, Pair]]:
    """Every pair by its id; at the end an error that names all files that cannot be read."""
    faults = []
    for id_, paths in pairs.items():
        try:
            yield id_, read_pair(*paths, mask_above)
        except DataError as error:
            faults.append(str(error))
    if faults:
        more = f" {len(faults) - 3} more files cannot be read." if len(faults) > 3 else ""
        raise DataError(" ".join(faults[:3]) + more)


def _check_masks(name: str, seen: Examination, pixels: dict[str, int]) -> None:
    """Refuse a dataset without a single target."""
    if any(pixels.values()):
        return
    hint = "the masks hold smaller values: set data.mask_above to 0" if seen.faint else "every mask is empty"
    raise DataError(f"{name} has no target in {len(pixels)} masks: {hint}.")


def _drawn(
    items: list[Item],
    parts: dict[str, Part],
    alike: list[tuple[str, str]],
    pixels: dict[str, int],
    split: str,
    validation_share: float,
    test_share: float,
    seed: int,
) -> list[Item]:
    """Items with the parts that are not given drawn."""
    if numbers := fold_of(split):
        items = fold(items, alike, pixels, *numbers, derive_seed(seed, "folds", numbers[1]))
    elif "test" not in parts.values():
        items = carve(items, alike, pixels, test_share, "test", derive_seed(seed, "test"))
    if "val" not in parts.values():
        items = carve(items, alike, pixels, validation_share, "val", derive_seed(seed, "validation"))
    empty = [part for part in PARTS if not any(item.part == part for item in items)]
    if empty:
        raise DataError(f"{len(items)} images are too few for split {split}: no {' and no '.join(empty)} part.")
    return items


def _sort_in(folder: Path, items: list[Item]) -> None:
    """Move images and masks into the folders of their parts."""
    for kind in ("images", "masks"):
        for place in ("trainval", "test"):
            (folder / place / kind).mkdir(parents=True)
        for item in items:
            place = "test" if item.part == "test" else "trainval"
            (folder / kind / f"{item.id}.png").rename(folder / place / kind / f"{item.id}.png")
        (folder / kind).rmdir()
