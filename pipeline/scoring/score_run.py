"""What stage evaluate keeps of one set of score maps: counts, metrics, areas, calibration; plain, for JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from datransnet.data.dataset import Images
from datransnet.metrics import COUNT_FIELDS, Curves, as_columns, calibration, count, evaluate, summarise
from datransnet.metrics.conventions import convention_named
from datransnet.metrics.counts import Scores


def scored(
    maps: Sequence[Scores], images: Images, conventions: Sequence[str], workers: int
) -> tuple[dict[str, Any], Curves]:
    """Counts image by image and metrics under each convention, areas and calibration; and the curves."""
    found = evaluate(zip(maps, images.masks, strict=True), conventions, workers=workers)
    curves, reliability = found.curves, calibration(found.curve_counts.histogram)
    areas = {"pixel": curves.pixel.area, "target": curves.target.area}
    content = {
        "counts": {name: plain(columns) for name, columns in found.counts.items()},
        "scores": {name: asdict(summarise(columns)) for name, columns in found.counts.items()},
        "areas": {**areas, "precision_recall": curves.precision_recall.area},
        "calibration": {
            "ece": reliability.ece,
            "ece_candidates": reliability.ece_candidates,
            "pixels": reliability.pixels.tolist(),
            "score": reliability.score.tolist(),
            "share": reliability.share.tolist(),
        },
    }
    return content, curves


def scored_at(threshold: float, maps: Sequence[Scores], images: Images, convention: str) -> dict[str, Any]:
    """Counts image by image and metrics at a threshold."""
    rule = convention_named(convention)
    pairs = zip(maps, images.masks, strict=True)
    columns = as_columns([count(scores, mask, rule, threshold) for scores, mask in pairs])
    return {"threshold": threshold, "counts": plain(columns), "scores": asdict(summarise(columns))}


def plain(columns: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, list[int]]:
    """Counts as lists."""
    return {name: columns[name].tolist() for name in COUNT_FIELDS}
