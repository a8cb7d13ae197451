"""Stage evaluate: every trained run on the test part, from stored scores, under every convention, with curves."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datransnet.atomic import atomic_path
from datransnet.data.dataset import Images, load_part
from datransnet.data.manifest import Manifest, Part
from datransnet.data.scores import find_predictions, read_scores
from datransnet.data.splits import SANITATION
from datransnet.engine.predict import ScoreMap
from datransnet.metrics import TargetRecord, operating_point, roc, target_records
from pipeline.console import Progress, Row
from pipeline.runs.cost import cost, latency
from pipeline.runs.record import RunFolder
from pipeline.runs.run import run_from
from pipeline.scoring.score_run import scored, scored_at
from pipeline.scoring.stored_scores import stored_scores
from pipeline.study.digest import digest_of
from pipeline.study.handover import read_result, write_result
from pipeline.study.study import Study
from pipeline.tracking.stage_run import StageRun
from pipeline.tracking.tracker import Tracker

SHOWN = 2
"""Test images with the most missed targets, and with the most false alarms, among the examples."""


def main(study: Study) -> None:
    """Run the stage."""
    params, manifest = study.params, study.manifest
    entries = [
        _Entry(study, stage, content)
        for stage in ("train", "ablate")
        for content in read_result(study.results / f"{stage}.json", stage)["runs"]
    ]
    selecting: Part = "test" if params.protocol == "literature" else "val"
    test, selection = load_part(study.data, "test"), load_part(study.data, selecting)
    identity = digest_of([[entry.key for entry in entries], params.evaluate.model_dump(), manifest.digest])
    with StageRun(Tracker.of(study), "evaluate", identity, params.digestible) as parent:
        with atomic_path(study.results / "evaluation") as partial, Progress("evaluate", len(entries)) as progress:
            (partial / "curves").mkdir(parents=True)
            results = []
            for index, entry in enumerate(entries):
                rows = [Row(done.variant, "done", 1, 1, done.val_iou) for done in entries[:index]]
                progress.update([*rows, Row(entry.variant, "running", 0, 1, 0.0)])
                results.append(_evaluate(entry, test, (selecting, selection), partial / "curves"))
            full = [entry for entry in entries if entry.variant == "full"]
            _write_targets(full, test, partial / "targets.csv")
            best = max(range(len(full)), key=lambda place: full[place].val_iou)
            _write_examples(full[best], results[best], test, partial / "examples.npz")
            summary = {
                "dataset": _describe(study, manifest),
                "protocol": params.protocol,
                "max_fa": params.evaluate.max_fa,
                "ids": test.ids,
                "runs": results,
                "removals": params.ablate.removals(),
                "peers": [_peer(study, name, test, partial / "curves") for name in params.evaluate.peers],
            }
            write_result(partial / "evaluation.json", summary)
        costs = {entry.key: _cost(entry) for entry in entries}
        write_result(study.results / "cost.json", {"runs": costs})
        for result in results:
            parent.results[result["key"]] = _test_metrics(result, params.evaluate.conventions[0], costs)
        found = [parent.results[entry.key] for entry in full]
        parent.metrics = {name: float(np.mean([metrics[name] for metrics in found])) for name in found[0]}


def _test_metrics(result: Mapping[str, Any], convention: str, costs: Mapping[str, Any]) -> dict[str, float]:
    """What MLflow shows of a run's test part, and what it costs."""
    scores, cost = result["scores"][convention], costs[result["key"]]
    found = {f"test_{name}": scores[name] for name in ("iou", "niou", "pd", "fa", "f1")}
    return found | {name: cost[name] for name in ("parameters", "operations", "latency")}


@dataclass(frozen=True)
class _Entry:
    """A trained run, as a stage handed it on."""

    study: Study
    stage: str
    content: Mapping[str, Any]

    @property
    def key(self) -> str:
        return str(self.content["key"])

    @property
    def variant(self) -> str:
        return str(self.content["variant"])

    @property
    def val_iou(self) -> float:
        return float(self.content["val_iou"])

    @cached_property
    def run(self) -> Any:
        return run_from(dict(self.content))

    def scores(self, part: Part, images: Images) -> list[ScoreMap]:
        """Its stored scores of a part."""
        weights = self.study.models / self.stage / f"{self.key}.safetensors"
        return stored_scores(self.study.runs, self.run, weights, part, images, self.study.params.resources.device_here)


def _describe(study: Study, manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.dataset,
        "split": manifest.split,
        "digest": manifest.digest,
        "summary": manifest.summary(),
        "excluded": manifest.excluded,
        "treated": manifest.treated,
        "remarks": list(manifest.remarks),
        "sanitation": json.loads((study.data / SANITATION).read_text(encoding="utf-8")),
    }


def _evaluate(entry: _Entry, test: Images, selection: tuple[Part, Images], curves: Path) -> dict[str, Any]:
    """What is kept of one run; its operating point is chosen on the part that selects."""
    params = entry.study.params
    first = params.evaluate.conventions[0]
    maps = entry.scores("test", test)
    content, found = scored(maps, test, params.evaluate.conventions, params.resources.cpus)
    found.write(curves / f"{entry.key}.csv")
    part, images = selection
    chosen_on = roc(zip(entry.scores(part, images), images.masks, strict=True), [first])
    threshold = operating_point(chosen_on.pd_fa[first], params.evaluate.max_fa)
    return {
        "key": entry.key,
        "variant": entry.variant,
        "stage": entry.stage,
        "seed": entry.run.seed,
        "model": entry.run.model,
        "val_iou": entry.val_iou,
        "best_epoch": int(entry.content["best_epoch"]),
        "best_on_test": _best_on_test(entry.content["history"]),
        **content,
        "operating": scored_at(threshold, maps, test, first),
    }


def _cost(entry: _Entry) -> dict[str, Any]:
    """What a run took and its network takes."""
    record = RunFolder(entry.study.runs, entry.key).read()
    trained = sum(epoch["seconds"] for epoch in record.history) if record else None
    where = {"environment": record.environment, "git": record.git} if record else {"environment": {}, "git": ""}
    measured = latency(entry.run, entry.study.runs, entry.study.params.resources)
    return {**cost(entry.run), **measured, "training": trained, **where}


def _best_on_test(history: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    """Epoch and IoU that choosing on the test part would have reported; None where it was not watched."""
    watched = [epoch for epoch in history if "watched_iou" in epoch]
    if not watched:
        return None
    best = max(watched, key=lambda epoch: epoch["watched_iou"])  # the first of equals
    return {"epoch": int(best["epoch"]), "iou": best["watched_iou"]}


def _peer(study: Study, name: str, test: Images, curves: Path) -> dict[str, Any]:
    """The same of somebody else's score maps.

    Raises:
        DataError: naming those that are missing, of the wrong size, or too many.
    """
    params = study.params
    folder = study.named(params.evaluate.peers[name]).resolve()
    found = find_predictions(folder, study.data / "test" / "masks")
    paths = dict(zip(found.ids, found.scores, strict=True))
    maps = [read_scores(paths[id_]) for id_ in test.ids]
    content, drawn = scored(maps, test, params.evaluate.conventions, params.resources.cpus)
    drawn.write(curves / f"peer-{name}.csv")
    return {"key": f"peer-{name}", "variant": name, **content}


def _write_targets(entries: Sequence[_Entry], test: Images, path: Path) -> None:
    """What became of each target of the test part, a line for each run of the full network."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["key", "id", *(field.name for field in fields(TargetRecord))])
        table.writeheader()
        for entry in entries:
            for id_, image, mask, scores in zip(
                test.ids, test.images, test.masks, entry.scores("test", test), strict=True
            ):
                found = target_records(scores, mask, image)
                table.writerows({"key": entry.key, "id": id_, **asdict(record)} for record in found)


def _write_examples(entry: _Entry, result: Mapping[str, Any], test: Images, path: Path) -> None:
    """Images, masks and scores of a run's best, median and worst test images, most missed targets and false alarms."""
    counts = result["counts"][entry.study.params.evaluate.conventions[0]]
    iou = {
        index: inside / union
        for index, (inside, union, targets) in enumerate(
            zip(counts["intersection"], counts["union"], counts["targets"], strict=True)
        )
        if targets
    }
    ordered = sorted(iou, key=lambda index: (iou[index], index))
    missed = np.subtract(counts["targets"], counts["detected"])
    kinds: dict[int, list[str]] = {}
    for kind, index in (
        ("best", ordered[-1]),
        ("median", ordered[len(ordered) // 2]),
        ("worst", ordered[0]),
        *(("most missed", int(index)) for index in np.argsort(-missed, kind="stable")[:SHOWN] if missed[index]),
        *(
            ("most false alarms", int(index))
            for index in np.argsort(-np.asarray(counts["false_alarm"]), kind="stable")[:SHOWN]
            if counts["false_alarm"][index]
        ),
    ):
        kinds.setdefault(index, []).append(kind)
    chosen = list(kinds)
    arrays: dict[str, Any] = {"ids": np.array([test.ids[index] for index in chosen])}
    arrays["kinds"] = np.array([", ".join(kinds[index]) for index in chosen])
    maps = entry.scores("test", test)
    for place, index in enumerate(chosen):
        arrays |= {
            f"image{place}": test.images[index],
            f"mask{place}": test.masks[index],
            f"scores{place}": maps[index],
        }
    arrays["iou"] = np.array([iou.get(index, np.nan) for index in chosen])
    np.savez_compressed(path, **arrays)
