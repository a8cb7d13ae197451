"""Splitting a dataset: published lists or drawn parts, known faults treated as told, one layout written."""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from datransnet.atomic import write_text
from datransnet.components import components
from datransnet.data.catalogue import Card
from datransnet.data.crossing import crossing, group_sizes
from datransnet.data.duplicates import groups
from datransnet.data.images import Levels, write_png
from datransnet.data.inventory import inventoried
from datransnet.data.layouts import FOLDERS, Layout, find_layout, read_list
from datransnet.data.manifest import PARTS, Item, Manifest, Part, image_digest, pair_digest
from datransnet.data.masks import MASK_ABOVE
from datransnet.data.oddities import named
from datransnet.data.pairs import Mismatch, PairReader
from datransnet.data.sanitation import Examination
from datransnet.errors import DataError, ParameterError, did_you_mean
from datransnet.seeding import derive_seed

Grouping = Literal["near_duplicates", "order", "none"]
"""What stays on one side of a part that is drawn: near duplicates; frames that follow each other, cut in the order of
their names (training first, test last); or nothing but each image itself."""

RANDOM = "random"
"""The name of a split that is drawn."""
_FOLD = re.compile(r"fold_(\d+)_of_(\d+)")
SANITATION = "sanitation.json"
FAR = 0.05
"""Of all images: a drawn part that is larger or smaller than asked by more is worth a remark."""


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
        for id_ in read_list(lists[part], layout.pairs) if part in lists else []:
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


def _natural(item: Item) -> list[str | int]:
    """Sorts names as a person counts: frame 9 before frame 10."""
    return [int(text) if text.isdecimal() else text for text in re.split(r"(\d+)", item.id)]


def cut(items: list[Item], share: float, part: Part) -> list[Item]:
    """Move the last share of the training items, in the order of their names, to another part."""
    ordered = sorted((item for item in items if item.part == "train"), key=_natural)
    last = {item.id for item in ordered[len(ordered) - max(1, round(share * len(ordered))) :]}
    return [replace(item, part=part) if item.id in last else item for item in items]


def cut_fold(items: list[Item], number: int, count: int) -> list[Item]:
    """Items with the stretch ``number`` of ``count``, in the order of their names, as test part."""
    ordered = sorted(items, key=_natural)
    test = {ordered[place].id for place in np.array_split(np.arange(len(ordered)), count)[number - 1]}
    return [replace(item, part="test" if item.id in test else "train") for item in items]


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
    levels: Levels = "full",
    grouping: Grouping = "near_duplicates",
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
        mask_above: of 255: levels of a mask above this are target; see `datransnet.data.masks`.
        validation_share: of the training part, where no validation part is given.
        test_share: of all images, for ``random``.
        levels: which stored values of an image become black and white.
        grouping: see `Grouping`.

    Raises:
        DataError: if an image or list is missing, damaged, or contradicts another.
        ParameterError: if the split is unknown.
    """
    layout = find_layout(raw)
    parts = given_parts(card, layout, name) or dict.fromkeys(layout.pairs, "train")
    if missing := sorted(set(parts) - set(layout.pairs)):
        raise DataError(f"{raw}: {len(missing)} ids of split {name} have no image: {named(missing, 5)}.")
    items: list[Item] = []
    pixels: dict[str, int] = {}
    seen, reader = Examination(), PairReader(card.name, mask_above, levels, mismatch)
    with inventoried(folder) as partial:
        for kind in ("images", "masks"):
            (partial / kind).mkdir(parents=True)
        for id_, pair in reader.read({id_: layout.pairs[id_] for id_ in parts}):
            areas = components(pair.mask).areas
            height, width = pair.image.shape
            digests = pair_digest(pair.image, pair.mask), image_digest(pair.image)
            items.append(Item(id_, parts[id_], height, width, len(areas), *digests))
            pixels[id_] = int(pair.mask.sum())
            seen.add(id_, pair, areas)
            target = partial / "images" / f"{id_}.png"
            if pair.file:  # copying costs nothing beside encoding
                shutil.copyfile(pair.file, target)
            else:
                write_png(target, pair.image)
            write_png(partial / "masks" / f"{id_}.png", pair.mask.astype(np.uint8) * 255)
        reader.oddities.note(
            f"images are in no list of {name} and are left out", *sorted(set(layout.pairs) - set(parts))
        )
        seen.mismatched |= reader.mismatched
        alike = seen.alike()
        shares: dict[Part, float] = {"test": test_share, "val": validation_share}
        items, drawn = _drawn(items, set(parts.values()), alike, pixels, name, shares, grouping, seed)
        _check_parts(items, name)
        _sort_in(partial, items)
        remarks = [line for line in (reader.oddities.line(), *_remarks(items, alike, shares, drawn, grouping)) if line]
        manifest = Manifest(card.name, name, tuple(items), reader.excluded, reader.treated, levels, tuple(remarks))
        manifest.write(partial / "manifest.json")
        summary = seen.summary(items, reader.oddities)
        write_text(partial / SANITATION, json.dumps({"schema": 1, **summary}, indent=1) + "\n")
    return manifest


def _drawn(
    items: list[Item],
    given: set[Part],
    alike: list[tuple[str, str]],
    pixels: dict[str, int],
    split: str,
    shares: dict[Part, float],
    grouping: Grouping,
    seed: int,
) -> tuple[list[Item], list[Part]]:
    """Items with the parts that are not given drawn; and which were drawn by their share.

    Raises:
        DataError: if there are too few images, or groups of near duplicates, for the parts.
    """
    together = alike if grouping == "near_duplicates" else []
    drawn: list[Part] = []
    if (numbers := fold_of(split)) and numbers[1] > len(items):
        raise DataError(f"{len(items)} images cannot be {numbers[1]} folds.")
    if numbers:
        seeds = derive_seed(seed, "folds", numbers[1])
        items = cut_fold(items, *numbers) if grouping == "order" else fold(items, together, pixels, *numbers, seeds)
    missing: tuple[tuple[Part, str], ...] = (("test", "test"), ("val", "validation"))
    for part, name in missing:
        if part in given or (part == "test" and numbers):
            continue
        drawn.append(part)
        items = (
            cut(items, shares[part], part)
            if grouping == "order"
            else carve(items, together, pixels, shares[part], part, derive_seed(seed, name))
        )
    empty = [part for part in PARTS if not any(item.part == part for item in items)]
    if empty:
        number, every = len(group_sizes(items, together)), len(items)
        reason = (
            f"they are only {number} groups of near duplicates (frames of fixed cameras, say), which stay on one side. "
            "Set data.grouping to order, which cuts them in the order of their names, or to none"
            if number < every
            else "add images"
        )
        raise DataError(f"{every} images are too few for split {split}: no {' and no '.join(empty)} part; {reason}.")
    return items, drawn


def _check_parts(items: list[Item], split: str) -> None:
    """Refuse a part without a target: nothing can be learnt, chosen or measured there.

    Raises:
        DataError: naming it.
    """
    for part in PARTS:
        inside = [item for item in items if item.part == part]
        if inside and not any(item.targets for item in inside):
            raise DataError(
                f"The {part} part of split {split} has no target in its {len(inside)} images. Choose other shares or "
                "another seed, where parts are drawn."
            )


def _remarks(
    items: list[Item], alike: list[tuple[str, str]], shares: dict[Part, float], drawn: list[Part], grouping: Grouping
) -> list[str]:
    """What came out of drawing parts, where it is not what one would expect."""
    found = []
    number = Counter(item.part for item in items)
    sizes = group_sizes(items, alike)
    for part in drawn:
        whole = len(items) if part == "test" else number["train"] + number["val"]
        asked = shares[part] * whole
        if abs(number[part] - asked) > max(1.5, FAR * whole):
            found.append(
                f"the {part} part has {number[part] / whole:.0%} of the images instead of {shares[part]:.0%}, since "
                f"near duplicates stay on one side and the largest of {len(sizes)} groups has {max(sizes.values())} "
                "images: set data.grouping to order or none to cut through them"
            )
    if drawn and grouping != "near_duplicates":
        between = crossing(items, alike, {"val", "test"}, {"train"})
        found.append(
            f"data.grouping is {grouping}: {between} of {number['val'] + number['test']} images that choose or test "
            "have a near duplicate among those that train"
        )
    elif between := crossing(items, alike, {"test"}, {"train", "val"}):
        found.append(
            f"{between} of {number['test']} test images have a near duplicate among those that train or choose, as "
            "the split is published: the main table has a second line without them"
        )
    return found


def _sort_in(folder: Path, items: list[Item]) -> None:
    """Move images and masks into the folders of their parts."""
    for kind in ("images", "masks"):
        for place in ("trainval", "test"):
            (folder / place / kind).mkdir(parents=True)
        for item in items:
            place = "test" if item.part == "test" else "trainval"
            (folder / kind / f"{item.id}.png").rename(folder / place / kind / f"{item.id}.png")
        (folder / kind).rmdir()
