"""The command ``evaluate``: score a network, a method without training, or anyone's score maps."""

import json
import logging
import math
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from datransnet.atomic import atomic_path
from datransnet.classical import METHODS, classical_scores
from datransnet.data.dataset import Images, load_folder, load_part
from datransnet.data.images import Levels
from datransnet.data.layouts import find_layout
from datransnet.data.manifest import PARTS, Manifest, image_digest
from datransnet.data.score_maps import Reading, find_predictions, other_size_named
from datransnet.engine.distributed import check_device
from datransnet.engine.memory_format import ready
from datransnet.engine.predict import predict
from datransnet.errors import DataError, ParameterError, did_you_mean
from datransnet.metrics import CONVENTIONS, calibration, evaluate, hierarchical_summary, summarise
from datransnet.metrics.evaluation import Pair
from datransnet.weights import Foreign, learnt_images, learnt_levels, load_weights

log = logging.getLogger(__name__)


def _part(folder: Path, part: str | None, above: int, levels: Levels) -> Images:
    """A part of a dataset that is split, the test part if none is named; all of a plain folder."""
    if part is not None and part not in PARTS:
        raise ParameterError(f"part = {part!r} must be one of {', '.join(PARTS)}. {did_you_mean(part, list(PARTS))}")
    if (folder / "manifest.json").exists():
        if (found := Manifest.read(folder / "manifest.json").levels) != levels:
            log.warning("%s was split with levels %s, the weights have learnt from levels %s.", folder, found, levels)
        return load_part(folder, part or "test")
    if find_layout(folder).parts:
        return load_folder(folder, part or "test", above, levels)
    if part is not None:
        raise ParameterError(f"{folder} is not split into parts: leave --part out to score all of it.")
    return load_folder(folder, above=above, levels=levels)


def evaluate_command(
    data: Path,
    weights: Path,
    part: str | None,
    conventions: tuple[str, ...],
    threshold: float,
    curves: Path | None,
    foreign: Foreign,
    mask_above: int,
    device: str,
    allow_leak: bool,
) -> None:
    """Score a network on a part of a dataset; prints JSON."""
    check_device(device)
    model, recipe = load_weights(weights, foreign)
    images = _part(data, part, mask_above, learnt_levels(weights))
    if images.remarks:
        log.warning("%s: %s.", data, images.remarks)
    learnt = learnt_images(weights)
    leaked = sum(image_digest(image) in learnt for image in images.images)
    if leaked and part in (None, "test") and not allow_leak:
        raise DataError(
            f"{leaked} of the {len(images)} images to score on were seen in training by {weights}. Choose another "
            "split, or --allow-leak: the count then stands in the result."
        )
    with typer.progressbar(
        predict(ready(model, device), images, recipe, device),
        length=len(images),
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        pairs = zip(bar, images.masks, strict=True)
        _print_evaluation(pairs, conventions, threshold, curves, {"seen_in_training": leaked if learnt else None})


def classical_command(
    data: Path,
    method: str,
    part: str | None,
    conventions: tuple[str, ...],
    threshold: float,
    curves: Path | None,
    mask_above: int,
) -> None:
    """Score a method without training on a part of a dataset, several images at once; prints JSON."""
    METHODS[method]  # known, before images are read
    images = _part(data, part, mask_above, "full")
    if images.remarks:
        log.warning("%s: %s.", data, images.remarks)
    maps = classical_scores(method, images.images)
    with typer.progressbar(maps, length=len(images), file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        about = {"scores": "of each image scaled by their own maximum"}
        _print_evaluation(zip(bar, images.masks, strict=True), conventions, threshold, curves, about)


def score_command(
    scores: Path,
    masks: Path,
    conventions: tuple[str, ...],
    threshold: float,
    curves: Path | None,
    allow_missing: bool,
    mask_above: int,
    ids: Path | None,
    logits: bool,
    mismatch: str | None,
) -> None:
    """Score anyone's score maps; prints JSON."""
    reading = Reading(allow_missing, mask_above, ids, logits, other_size_named(mismatch))
    found = find_predictions(scores, masks, reading)
    pairs = (found.pair(place) for place in range(len(found.ids)))
    kind = "left_out" if reading.mismatch == "exclude" else "resized_masks"
    _print_evaluation(pairs, conventions, threshold, curves, {"missing": found.missing, kind: found.other_size})


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
    forms = {name: asdict(hierarchical_summary(found.hierarchical, name)) for name in ("hiou", "hiou_released")}
    print(json.dumps(_defined({**about, "conventions": metrics, "hierarchical": forms}), indent=1))


def _defined(value: Any) -> Any:
    """Plain values with null for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _defined(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
