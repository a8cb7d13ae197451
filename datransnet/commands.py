"""What the commands of ``python -m datransnet`` do, once their arguments are read."""

import csv
import hashlib
import json
import logging
import math
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from PIL import Image
from scipy import ndimage
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from datransnet.atomic import atomic_path, write_text
from datransnet.data.dataset import Images, load_folder, load_part
from datransnet.data.images import Luminance, Truth, read_image, write_png
from datransnet.data.layouts import find_layout
from datransnet.data.manifest import PARTS, image_digest, pair_digest
from datransnet.data.scores import ENDING, OVERLAY, find_predictions
from datransnet.engine.distributed import check_device, is_first, join_processes
from datransnet.engine.fit import Epoch, fit
from datransnet.engine.predict import ScoreMap, predict, predict_image
from datransnet.engine.recipe import Recipe
from datransnet.errors import DataError, ParameterError
from datransnet.metrics import CONVENTIONS, calibration, evaluate, summarise
from datransnet.metrics.components import components
from datransnet.metrics.evaluation import Pair
from datransnet.models import complete_arguments, create_model
from datransnet.registry import did_you_mean
from datransnet.seeding import derive_seed
from datransnet.weights import learnt_images, load_weights, save_weights

log = logging.getLogger(__name__)

SHRUNK = 2.0
"""Images that are shrunk by more before a network sees them are worth a warning."""


def parse_assignments(pairs: list[str]) -> dict[str, Any]:
    """``name=value`` pairs, values as JSON or else as text.

    >>> parse_assignments(["width=8", "gradient=plain", "dilations=[1, 2]"])
    {'width': 8, 'gradient': 'plain', 'dilations': [1, 2]}
    >>> parse_assignments(["datrans=False"])  # as Python writes it
    {'datrans': False}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ParameterError(f"{pair!r} must be name=value.")
        try:
            found[name] = json.loads({"True": "true", "False": "false"}.get(text, text))
        except ValueError:
            found[name] = text
    return found


def _part(folder: Path, part: str | None, above: int) -> Images:
    """A part of a dataset that is split, the test part if none is named; all of a plain folder."""
    if part is not None and part not in PARTS:
        raise ParameterError(f"part = {part!r} must be one of {', '.join(PARTS)}. {did_you_mean(part, list(PARTS))}")
    if (folder / "manifest.json").exists():
        return load_part(folder, part or "test")
    if find_layout(folder).parts:
        return load_folder(folder, part or "test", above)
    if part is not None:
        raise ParameterError(f"{folder} is not split into parts: leave --part out to score all of it.")
    return load_folder(folder, above=above)


def _to_learn(folder: Path, share: float, seed: int, above: int) -> tuple[Images, Images]:
    """Training and validation images: of the split, or a seeded share of those that are not for testing."""
    if (folder / "manifest.json").exists():
        return load_part(folder, "train"), load_part(folder, "val")
    every = load_folder(folder, "train" if find_layout(folder).parts else None, above)
    number = round(share * len(every))
    if not 0 < number < len(every):
        raise DataError(f"{folder} holds {len(every)} images: too few to keep {share:.0%} of them for validation.")
    order = np.random.default_rng(derive_seed(seed, "validation")).permutation(len(every))
    return every.subset(sorted(order[number:])), every.subset(sorted(order[:number]))


def _line(metrics: Epoch, recipe: Recipe) -> str:
    text = f"epoch {metrics['epoch']:.0f}/{recipe.epochs}  loss {metrics['loss']:.4f}"
    if "val_iou" in metrics:
        text += f"  IoU {metrics['val_iou']:.4f}  Pd {metrics['val_pd']:.3f}  Fa {metrics['val_fa'] * 1e6:.1f}e-6"
    return f"{text}  best {metrics['best_iou']:.4f} (epoch {metrics['best_epoch']:.0f})"


def fit_command(
    data: Path,
    out: Path,
    name: str,
    pairs: list[str],
    recipe: Recipe,
    seed: int,
    share: float,
    mask_above: int,
    device: str,
) -> None:
    """Train, or go on; writes weights, card, history.csv and a checkpoint."""
    device = join_processes(device)
    arguments = {"name": name, **complete_arguments(name, **parse_assignments(pairs))}
    train, validation = _to_learn(data, share, seed, mask_above)
    used = [*zip(train.images, train.masks, strict=True), *zip(validation.images, validation.masks, strict=True)]
    asked = {
        "model": arguments,
        "recipe": asdict(recipe),
        "seed": seed,
        "data": hashlib.sha256("".join(pair_digest(*pair) for pair in used).encode()).hexdigest(),
    }
    asked = json.loads(json.dumps(asked))
    plan = out / "training.json"
    if plan.exists() and (found := json.loads(plan.read_text(encoding="utf-8"))) != asked:
        differing = [key for key in asked if found.get(key) != asked[key]]
        raise ParameterError(f"{out} holds a training with another {', '.join(differing)}. Choose another --out.")
    if is_first():
        out.mkdir(parents=True, exist_ok=True)
        write_text(plan, json.dumps(asked, indent=1) + "\n")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.manual_seed(derive_seed(seed, "init"))
    model = create_model(name, **parse_assignments(pairs))
    epochs = fit(model, train, validation, recipe, seed=seed, checkpoint=out / "checkpoint.pt", device=device)
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
    save_weights(out, model, arguments, recipe, seed=seed, val_iou=history[-1]["best_iou"], learnt=learnt)
    with atomic_path(out / "history.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        columns = list(dict.fromkeys(key for metrics in history for key in metrics))
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)
    print(f"{out / 'weights.safetensors'}: validation IoU {history[-1]['best_iou']:.4f}.")


def evaluate_command(
    data: Path,
    weights: Path,
    part: str | None,
    conventions: tuple[str, ...],
    threshold: float,
    curves: Path | None,
    image_size: int,
    mask_above: int,
    device: str,
    allow_leak: bool,
) -> None:
    """Score a network on a part of a dataset; prints JSON."""
    check_device(device)
    model, recipe = load_weights(weights, image_size)
    images = _part(data, part, mask_above)
    learnt = learnt_images(weights)
    leaked = sum(image_digest(image) in learnt for image in images.images)
    if leaked and part in (None, "test") and not allow_leak:
        raise DataError(
            f"{leaked} of the {len(images)} images to score on were seen in training by {weights}. Choose another "
            "split, or --allow-leak: the count then stands in the result."
        )
    with typer.progressbar(
        predict(model, images, recipe, device), length=len(images), file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        pairs = zip(bar, images.masks, strict=True)
        _print_evaluation(pairs, conventions, threshold, curves, {"seen_in_training": leaked if learnt else None})


def score_command(
    scores: Path,
    masks: Path,
    conventions: tuple[str, ...],
    threshold: float,
    curves: Path | None,
    mask_above: int,
    allow_missing: bool,
) -> None:
    """Score anyone's score maps; prints JSON."""
    found = find_predictions(scores, masks, allow_missing, mask_above)
    pairs = (found.pair(place) for place in range(len(found.ids)))
    _print_evaluation(pairs, conventions, threshold, curves, {"missing": found.missing})


def _print_evaluation(
    pairs: Iterable[Pair],
    conventions: tuple[str, ...],
    threshold: float,
    curves: Path | None,
    about: dict[str, Any],
) -> None:
    """Print metrics by convention and areas of curves; write the curves."""
    found = evaluate(pairs, conventions or tuple(CONVENTIONS), threshold=threshold)
    drawn, reliability = found.curves, calibration(found.curve_counts.histogram)
    if curves is not None:
        with atomic_path(curves) as partial:
            drawn.write(partial)
    areas = {"pixel": drawn.pixel.area, "precision_recall": drawn.precision_recall.area, "target": drawn.target.area}
    about |= {"threshold": threshold, "areas": areas, "ece": reliability.ece}
    metrics = {name: asdict(summarise(columns)) for name, columns in found.counts.items()}
    print(json.dumps(_defined({**about, "conventions": metrics}), indent=1))


def _defined(value: Any) -> Any:
    """Plain values with null for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _defined(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def overlay(image: Luminance, prediction: Truth) -> Image.Image:
    """The image in grey with the outline of the prediction in red, just outside of it."""
    outline = ndimage.binary_dilation(prediction, np.ones((3, 3), dtype=bool)) & ~prediction
    colours = np.repeat(image[:, :, None], 3, axis=2)
    colours[outline] = (230, 40, 40)
    return Image.fromarray(colours)


def detections(scores: ScoreMap, threshold: float) -> list[dict[str, float]]:
    """Connected predictions: centroid (row, col, in pixels), area in pixels, highest score."""
    found = components(scores > threshold)
    return [
        {
            "row": round(row, 2),
            "col": round(column, 2),
            "area": int(found.areas[index]),
            "score": round(float(scores[found.labels == index + 1].max()), 4),
        }
        for index, (row, column) in enumerate(found.centroids.tolist())
    ]


def predict_command(
    paths: list[Path], weights: Path, out: Path, threshold: float, image_size: int, device: str
) -> None:
    """Write NAME_scores.png (16 bits), NAME_overlay.png and detections.csv.

    Raises:
        DataError: naming the images that cannot be read, once all others are done.
    """
    check_device(device)
    stems = [path.stem for path in paths]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise ParameterError(f"Two images are called {sorted(twice)[0]}: their outputs would overwrite each other.")
    model, recipe = load_weights(weights, image_size)
    model.to(device)
    out.mkdir(parents=True, exist_ok=True)
    rows, faults, shrunk = [], list[str](), 1.0
    with typer.progressbar(paths, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        for path in bar:
            try:
                image = read_image(path)
            except DataError as error:
                faults.append(str(error))
                continue
            if recipe.view == "resize":
                shrunk = max(shrunk, max(image.shape) / recipe.size)
            scores = predict_image(model, image, recipe, device)
            with atomic_path(out / f"{path.stem}{ENDING}.png") as partial:
                write_png(partial, np.rint(scores * 65535).astype(np.uint16))
            with atomic_path(out / f"{path.stem}{OVERLAY}.png") as partial:
                overlay(image, scores > threshold).save(partial, format="PNG")
            rows += [{"image": path.name, **found} for found in detections(scores, threshold)]
    with atomic_path(out / "detections.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["image", "row", "col", "area", "score"])
        writer.writeheader()
        writer.writerows(rows)
    print(f"{out}: {len(rows)} detections in {len(paths) - len(faults)} images.")
    if shrunk > SHRUNK:
        log.warning(
            "These weights see every image at %d² pixels, as they were trained: the largest was shrunk %.1f times, and "
            "small targets may vanish in that. Cut images into pieces, or train with --view crop.",
            recipe.size,
            shrunk,
        )
    if faults:
        raise DataError(" ".join(faults))


def _live(model: nn.Module, height: int, width: int) -> set[str]:
    """Names of the parameters that a gradient reaches."""
    model.train()(torch.rand(2, 1, height, width)).sum().backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def info_command(name: str, pairs: list[str], height: int, width: int) -> None:
    """Print layers, parameters, operations and size of a network."""
    model = create_model(name, **parse_assignments(pairs))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(torch.rand(1, 1, height, width))
    live = _live(model, 64, 64)
    count = {key: parameter.numel() for key, parameter in model.named_parameters()}
    for child, module in model.named_children():
        parts = list(module.named_children()) if isinstance(module, nn.ModuleList) else [("", module)]
        for index, part in parts:
            label = f"{child}.{index}".rstrip(".")
            print(f"{label:12} {type(part).__name__:28} {sum(p.numel() for p in part.parameters()):>10,} parameters")
    total, alive = sum(count.values()), sum(count[key] for key in live)
    print(f"parameters   {total:,}, of them {alive:,} live and {total - alive:,} dead ({total * 4 / 2**20:.1f} MiB)")
    operations = counter.get_total_flops() / 1e9
    print(f"operations   {operations:.2f} G at {height}×{width} (a multiply-add is 2), as computed here")
