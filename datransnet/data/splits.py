"""Splitting a dataset: published lists, a carved validation part, known faults treated as told, one layout written."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from datransnet.atomic import atomic_path
from datransnet.data.catalogue import Card
from datransnet.data.images import Luminance, Truth, read_image, read_mask, write_png
from datransnet.data.layouts import find_pairs, read_list
from datransnet.data.manifest import PARTS, Item, Manifest, Part, pair_digest
from datransnet.errors import DataError, ParameterError
from datransnet.metrics.components import components
from datransnet.registry import did_you_mean
from datransnet.seeding import derive_seed

Mismatch = Literal["exclude", "resize_mask"]
"""What to do with a mask whose size is not its image's: leave the pair out, or resize the mask (nearest)."""


def published_parts(card: Card, raw: Path, split: str) -> dict[str, Part]:
    """Part of every id of a published split.

    Raises:
        ParameterError: if the dataset has no such split.
        DataError: if an id is in two parts.
    """
    if split not in card.splits:
        raise ParameterError(f"{card.name} has no split {split!r}. {did_you_mean(split, list(card.splits))}")
    parts: dict[str, Part] = {}
    for part in PARTS:
        if part in card.splits[split]:
            for id_ in read_list(raw / card.splits[split][part]):
                if id_ in parts:
                    raise DataError(f"{card.name} {split}: {id_} is in {parts[id_]} and in {part}. The split leaks.")
                parts[id_] = part
    return parts


def carve_validation(items: list[Item], areas: dict[str, int], share: float, seed: int) -> list[Item]:
    """Move a share of the training items to validation, stratified by number and size of targets.

    Items are sorted by (number of targets, target pixels, a seeded shuffle) and cut in blocks of 1/share; one item a
    block, seeded, becomes validation, so both parts have the same distribution.
    """
    rng = np.random.default_rng(derive_seed(seed, "validation"))
    train = [item for item in items if item.part == "train"]
    shuffled = [train[index] for index in rng.permutation(len(train))]
    ordered = sorted(shuffled, key=lambda item: (item.targets, areas[item.id]))
    number = max(1, round(share * len(ordered)))
    blocks = np.array_split(np.arange(len(ordered)), number)
    chosen = {ordered[rng.choice(block)].id for block in blocks if len(block)}
    return [replace(item, part="val") if item.id in chosen else item for item in items]


def _read_pair(id_: str, paths: tuple[Path, Path], mismatch: Mismatch) -> tuple[Luminance, Truth, str]:
    """Image, mask and what had to be done to them ("" if nothing)."""
    image, mask = read_image(paths[0]), read_mask(paths[1])
    if image.shape == mask.shape:
        return image, mask, ""
    fault = f"mask {mask.shape[1]}×{mask.shape[0]} for an image of {image.shape[1]}×{image.shape[0]}"
    if mismatch == "resize_mask":
        resized = Image.fromarray(mask).resize(image.shape[::-1], Image.Resampling.NEAREST)
        mask = np.asarray(resized, dtype=bool)
    return image, mask, fault


def split(
    card: Card, raw: Path, folder: Path, name: str, *, mismatch: Mismatch, validation_share: float, seed: int
) -> Manifest:
    """Write ``folder/{trainval,test}/{images,masks}`` and ``folder/manifest.json`` from a fetched dataset.

    Images become 8-bit luminance PNG, masks 0/255 PNG. Validation images lie in ``trainval``; the manifest names them.

    Args:
        card: the dataset.
        raw: where it was fetched to.
        folder: what to write, whole or not at all.
        name: the split.
        mismatch: see `Mismatch`; every case is listed in the manifest.
        validation_share: of the training list, where no validation part is published.
        seed: of the carved validation part.

    Raises:
        DataError: if an image or list is missing, damaged, or contradicts another.
        ParameterError: if the split is unknown.
    """
    parts, pairs = published_parts(card, raw, name), find_pairs(raw)
    if missing := sorted(set(parts) - set(pairs)):
        raise DataError(f"{raw}: {len(missing)} ids of split {name} have no image: {', '.join(missing[:5])}.")
    items: list[Item] = []
    areas: dict[str, int] = {}
    excluded: dict[str, str] = {}
    treated: dict[str, str] = {}
    with atomic_path(folder) as partial:
        for place in ("trainval", "test"):
            for kind in ("images", "masks"):
                (partial / place / kind).mkdir(parents=True)
        for id_ in sorted(parts):
            image, mask, fault = _read_pair(id_, pairs[id_], mismatch)
            if fault and mismatch == "exclude":
                excluded[id_] = fault
                continue
            if fault:
                treated[id_] = f"{fault}: mask resized (nearest)"
            number = len(components(mask))
            height, width = image.shape
            items.append(Item(id_, parts[id_], height, width, number, pair_digest(image, mask)))
            areas[id_] = int(mask.sum())
            place = "test" if parts[id_] == "test" else "trainval"
            write_png(partial / place / "images" / f"{id_}.png", image)
            write_png(partial / place / "masks" / f"{id_}.png", mask.astype(np.uint8) * 255)
        if "val" not in parts.values():
            items = carve_validation(items, areas, validation_share, seed)
        manifest = Manifest(card.name, name, tuple(items), excluded, treated)
        manifest.write(partial / "manifest.json")
    return manifest
