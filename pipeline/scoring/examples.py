"""What became of single targets, and images worth looking at: ``targets.csv`` and ``examples.npz``."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datransnet.data.dataset import Images
from datransnet.metrics import TargetRecord, target_records
from pipeline.scoring.evaluation import ScoredRun
from pipeline.scoring.trained import Trained

SHOWN = 2
"""Test images with the most missed targets, and with the most false alarms, among the examples."""


def write_targets(winners: Sequence[Trained], test: Images, path: Path) -> None:
    """Write a line for each target of the test part and each run of the winner: its size, its SCR, whether it is found.

    Columns: ``key`` of the run, ``id`` of the image, and the fields of `datransnet.metrics.TargetRecord`.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["key", "id", *(field.name for field in fields(TargetRecord))])
        table.writeheader()
        for winner in winners:
            maps = winner.scores("test", test)
            for id_, image, mask, scores in zip(test.ids, test.images, test.masks, maps, strict=True):
                records = target_records(scores, mask, image)
                table.writerows({"key": winner.result.key, "id": id_, **asdict(record)} for record in records)


def write_examples(trained: Trained, scored: ScoredRun, test: Images, path: Path) -> None:
    """Write images, masks and scores of a run's best, median and worst test images, and of its gravest errors.

    Those are the images with the most missed targets, and with the most false alarms. The arrays are ``ids``, ``kinds``
    (why each image is there), ``iou`` (NaN without a target), and ``image<n>``, ``mask<n>``, ``scores<n>`` of each.
    """
    counts = next(iter(scored.counts.values()))
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
    chosen, maps = list(kinds), trained.scores("test", test)
    arrays: dict[str, npt.ArrayLike] = {"ids": np.array([test.ids[index] for index in chosen])}
    arrays["kinds"] = np.array([", ".join(kinds[index]) for index in chosen])
    for number, index in enumerate(chosen):
        arrays |= {
            f"image{number}": test.images[index],
            f"mask{number}": test.masks[index],
            f"scores{number}": maps[index],
        }
    arrays["iou"] = np.array([iou.get(index, np.nan) for index in chosen])
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # names of arrays, not of options
