"""Stage evaluate: every trained run on the test part, from stored scores, under every convention, with curves."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from datransnet.atomic import atomic_path
from datransnet.data.dataset import Images, load_part
from datransnet.data.manifest import Manifest
from datransnet.data.splits import SANITATION
from datransnet.metrics import (
    CONVENTIONS,
    COUNT_FIELDS,
    Curve,
    Curves,
    TargetRecord,
    as_columns,
    count,
    roc,
    summarise,
    target_records,
)
from pipeline.support.console import Progress, Row
from pipeline.support.paths import Study
from pipeline.support.records import digest_of
from pipeline.support.scores import ScoreMap, stored_scores
from pipeline.support.stages import read_manifest, read_result, run_from, write_result
from pipeline.support.tracking import Tracker
from pipeline.support.training import build

CURVE_POINTS = 400
EXAMPLES = 6


def main(study: Study) -> None:
    """Run the stage."""
    params, manifest = study.params, read_manifest(study)
    test = load_part(study.data, "test")
    entries = [
        (stage, content)
        for stage in ("train", "ablate")
        for content in read_result(study.results / f"{stage}.json", stage)["runs"]
    ]
    tracker = Tracker.of(study, manifest.digest)
    identity = digest_of([[content["key"] for _, content in entries], params.evaluate.model_dump(), manifest.digest])
    parent = tracker.open_stage("evaluate", identity, params.digestible)
    failed, metrics = True, {}
    try:
        with atomic_path(study.results / "evaluation") as partial, Progress("evaluate", len(entries)) as progress:
            (partial / "curves").mkdir(parents=True)
            results = []
            for index, (stage, content) in enumerate(entries):
                rows = [Row(entry["variant"], "done", 1, 1, entry["val_iou"]) for _, entry in entries[:index]]
                progress.update([*rows, Row(content["variant"], "running", 0, 1, 0.0)])
                results.append(_evaluate(study, stage, content, test, manifest, partial / "curves"))
            _write_targets(study, entries, test, manifest, partial / "targets.csv")
            _write_examples(study, results, test, manifest, partial / "examples.npz")
            summary = {
                "dataset": _describe(study, manifest),
                "protocol": params.protocol,
                "ids": test.ids,
                "runs": results,
            }
            write_result(partial / "evaluation.json", summary)
        first = params.evaluate.conventions[0]
        full = [result["scores"][first] for result in results if result["variant"] == "full"]
        metrics = {
            name: float(np.mean([scores[name] for scores in full])) for name in ("iou", "niou", "pd", "fa", "f1")
        }
        failed = False
    finally:
        tracker.close_stage(parent, failed, {f"test_{name}": value for name, value in metrics.items()})


def _describe(study: Study, manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.dataset,
        "split": manifest.split,
        "digest": manifest.digest,
        "summary": manifest.summary(),
        "excluded": manifest.excluded,
        "treated": manifest.treated,
        "sanitation": json.loads((study.data / SANITATION).read_text()),
    }


def _scores(study: Study, stage: str, content: Mapping[str, Any], test: Images, digest: str) -> list[ScoreMap]:
    weights = study.models / stage / f"{content['key']}.safetensors"
    return stored_scores(study.runs, run_from(dict(content)), weights, test, digest, study.params.resources.device)


def _evaluate(
    study: Study, stage: str, content: Mapping[str, Any], test: Images, manifest: Manifest, curves: Path
) -> dict[str, Any]:
    """Metrics of one run under each convention, its counts image by image, and its curves as CSV."""
    pairs = list(zip(_scores(study, stage, content, test, manifest.digest), test.masks, strict=True))
    counts, scores = {}, {}
    for name in study.params.evaluate.conventions:
        columns = as_columns([count(score, mask, CONVENTIONS[name]) for score, mask in pairs])
        counts[name] = {field: columns[field].tolist() for field in COUNT_FIELDS}
        scores[name] = asdict(summarise(columns))
    found = roc(pairs)
    _write_curves(curves / f"{content['key']}.csv", found)
    run = run_from(dict(content))
    return {
        "key": content["key"],
        "variant": content["variant"],
        "stage": stage,
        "seed": run.seed,
        "model": run.model,
        "parameters": sum(parameter.numel() for parameter in build(run).parameters()),
        "val_iou": content["val_iou"],
        "best_epoch": content["best_epoch"],
        "counts": counts,
        "scores": scores,
        "areas": {
            "pixel": found.pixel.area,
            "target": found.target.area,
            "precision_recall": found.precision_recall.area,
        },
    }


def thinned(curve: Curve) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """At most `CURVE_POINTS` points (x, y, threshold) of a curve, evenly along its length; ends are kept."""
    points = np.stack([curve.x, curve.y, curve.thresholds], axis=1)
    if len(points) <= CURVE_POINTS:
        return points
    steps = np.hypot(np.diff(curve.x), np.diff(curve.y)) + 1e-3 / len(points)
    along = np.concatenate([[0], np.cumsum(steps)])
    chosen = np.searchsorted(along, np.linspace(0, along[-1], CURVE_POINTS))
    return points[np.unique(np.clip(chosen, 0, len(points) - 1))]


def _write_targets(
    study: Study, entries: list[tuple[str, dict[str, Any]]], test: Images, manifest: Manifest, path: Path
) -> None:
    """What became of each target of the test part, a line for each run of the full network."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["key", "id", *(field.name for field in fields(TargetRecord))])
        table.writeheader()
        for stage, content in entries:
            if content["variant"] == "full":
                maps = _scores(study, stage, content, test, manifest.digest)
                for id_, image, mask, scores in zip(test.ids, test.images, test.masks, maps, strict=True):
                    found = target_records(scores, mask, image)
                    table.writerows({"key": content["key"], "id": id_, **asdict(record)} for record in found)


def _write_curves(path: Path, found: Curves) -> None:
    with path.open("w") as file:
        file.write("curve,x,y,threshold\n")
        for name in ("pixel", "precision_recall", "target", "pd_fa"):
            for x, y, threshold in thinned(getattr(found, name)):
                file.write(f"{name},{x:.8g},{y:.8g},{threshold:.6g}\n")


def _write_examples(study: Study, results: list[dict[str, Any]], test: Images, manifest: Manifest, path: Path) -> None:
    """Images, masks and scores of the best run's worst, median and best test images with targets."""
    full = [result for result in results if result["variant"] == "full"]
    best = max(full, key=lambda result: result["val_iou"])
    counts = best["counts"][study.params.evaluate.conventions[0]]
    content = next(
        entry for entry in read_result(study.results / "train.json", "train")["runs"] if entry["key"] == best["key"]
    )
    maps = _scores(study, "train", content, test, manifest.digest)
    iou = {
        index: inside / union
        for index, (inside, union, targets) in enumerate(
            zip(counts["intersection"], counts["union"], counts["targets"], strict=True)
        )
        if targets
    }
    ordered = sorted(iou, key=lambda index: (iou[index], index))
    chosen = [ordered[round(place)] for place in np.linspace(0, len(ordered) - 1, min(EXAMPLES, len(ordered)))]
    arrays: dict[str, Any] = {"ids": np.array([test.ids[index] for index in chosen])}
    for place, index in enumerate(chosen):
        arrays |= {
            f"image{place}": test.images[index],
            f"mask{place}": test.masks[index],
            f"scores{place}": maps[index],
        }
    arrays["iou"] = np.array([iou[index] for index in chosen])
    np.savez_compressed(path, **arrays)
