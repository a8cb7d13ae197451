"""The command ``fit``: train a network on a folder, or go on where it was stopped."""

import csv
import hashlib
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer

from datransnet.atomic import atomic_path, write_text
from datransnet.commands.assignments import parse_assignments
from datransnet.data.dataset import Images, load_folder, load_part
from datransnet.data.images import Levels, parse_levels
from datransnet.data.layouts import find_layout
from datransnet.data.manifest import Manifest, image_digest, pair_digest
from datransnet.data.oddities import named
from datransnet.engine.distributed import is_first, join_processes
from datransnet.engine.fit import Epoch, fit
from datransnet.engine.recipe import Recipe
from datransnet.errors import DataError, ParameterError
from datransnet.foreign_code import code_digest
from datransnet.models import complete_arguments
from datransnet.seeding import derive_seed
from datransnet.weights import CARD, WEIGHTS, create_trainable, save_weights

log = logging.getLogger(__name__)

CHECKPOINT, HISTORY = "checkpoint.pt", "history.csv"


def _to_learn(folder: Path, share: float, seed: int, above: int, levels: Levels) -> tuple[Images, Images, Levels]:
    """Training and validation images, of the split, or a seeded share of those that are not for testing; their levels.

    Raises:
        DataError: if there are too few, or one of the two has no target.
    """
    if (folder / "manifest.json").exists():
        return load_part(folder, "train"), load_part(folder, "val"), Manifest.read(folder / "manifest.json").levels
    every = load_folder(folder, "train" if find_layout(folder).parts else None, above, levels)
    if every.remarks:
        log.warning("%s: %s.", folder, every.remarks)
    number = round(share * len(every))
    if not 0 < number < len(every):
        raise DataError(f"{folder} holds {len(every)} images: too few to keep {share:.0%} of them for validation.")
    order = np.random.default_rng(derive_seed(seed, "validation")).permutation(len(every))
    parts = every.subset(sorted(order[number:])), every.subset(sorted(order[:number]))
    for images, what in zip(parts, ("train", "validate"), strict=True):
        if not any(mask.any() for mask in images.masks):
            raise DataError(
                f"None of the {len(images)} images of {folder} that {what} has a target. Try another --seed."
            )
    return *parts, levels


def _line(metrics: Epoch, recipe: Recipe) -> str:
    text = f"epoch {metrics['epoch']:.0f}/{recipe.epochs}  loss {metrics['loss']:.4f}"
    if "val_iou" in metrics:
        text += f"  IoU {metrics['val_iou']:.4f}  Pd {metrics['val_pd']:.3f}  Fa {metrics['val_fa'] * 1e6:.1f}e-6"
    return f"{text}  best {metrics['best_iou']:.4f} (epoch {metrics['best_epoch']:.0f})"


def _plan(path: Path) -> dict[str, Any]:
    """What a training in a folder was asked to be.

    Raises:
        ParameterError: if the file is none of this command's.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ParameterError(f"{path} is of something else. Choose another --out.")
    return found


def _located(arguments: dict[str, object]) -> dict[str, object]:
    """A network's arguments; of an external one with where its code lies and what it is."""
    if arguments["name"] != "external" or not arguments["source"]:
        return arguments
    source = Path(str(arguments["source"])).expanduser().resolve()
    return arguments | {"source": str(source), "files": code_digest(source)}


def fit_command(
    data: Path,
    out: Path,
    name: str,
    pairs: list[str],
    recipe: Recipe,
    seed: int,
    share: float,
    mask_above: int,
    levels: str,
    device: str,
) -> None:
    """Train, or go on; writes weights, card, history.csv and a checkpoint.

    Raises:
        ParameterError: if ``out`` holds another training, or weights that this command has not written.
    """
    device = join_processes(device)
    arguments = _located({"name": name, **complete_arguments(name, **parse_assignments(pairs))})
    torch.manual_seed(derive_seed(seed, "init"))
    model = create_trainable(arguments, recipe)  # first of all: a mistake in it leaves nothing behind
    train, validation, learnt_levels = _to_learn(data, share, seed, mask_above, parse_levels(levels))
    used = [*zip(train.images, train.masks, strict=True), *zip(validation.images, validation.masks, strict=True)]
    asked = {
        "model": arguments,
        "recipe": asdict(recipe),
        "seed": seed,
        "data": hashlib.sha256("".join(pair_digest(*pair) for pair in used).encode()).hexdigest(),
    }
    asked = json.loads(json.dumps(asked))
    plan = out / "training.json"
    if plan.exists() and (found := _plan(plan)) != asked:
        differing = [key for key in asked if found.get(key) != asked[key]]
        raise ParameterError(f"{out} holds a training with another {', '.join(differing)}. Choose another --out.")
    if not plan.exists() and (
        there := [name for name in (WEIGHTS, CARD, CHECKPOINT, HISTORY) if (out / name).exists()]
    ):
        raise ParameterError(f"{out} holds {named(there)} of something else. Choose another --out.")
    if is_first():
        out.mkdir(parents=True, exist_ok=True)
        write_text(plan, json.dumps(asked, indent=1) + "\n")
    torch.use_deterministic_algorithms(True, warn_only=True)
    epochs = fit(model, train, validation, recipe, seed=seed, checkpoint=out / CHECKPOINT, device=device)
    history = []
    shown = sys.stderr.isatty() and is_first()
    with typer.progressbar(epochs, length=recipe.epochs, file=sys.stderr, hidden=not shown) as bar:
        for metrics in bar:
            history.append(metrics)
            bar.label = _line(metrics, recipe)
            if is_first() and not shown:
                print(_line(metrics, recipe), flush=True)
    if not is_first():
        return
    learnt = sorted(image_digest(image) for image, _ in used)
    save_weights(
        out, model, arguments, recipe, seed=seed, val_iou=history[-1]["best_iou"], learnt=learnt, levels=learnt_levels
    )
    with atomic_path(out / HISTORY) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        columns = list(dict.fromkeys(key for metrics in history for key in metrics))
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)
    print(f"{out / WEIGHTS}: validation IoU {history[-1]['best_iou']:.4f}.")
