"""What is measured on one set of score maps: counts, metrics, areas under curves, calibration."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from datransnet.data.dataset import Images
from datransnet.metrics import (
    COUNT_FIELDS,
    Budget,
    Curves,
    Score,
    as_columns,
    calibration,
    count,
    evaluate,
    operating_point,
    summarise,
)
from datransnet.metrics.conventions import convention_named
from datransnet.metrics.counts import Scores
from pipeline.scoring.evaluation import Areas, Counts, Measured, OperatingPoint, Reliability


def scored(maps: Sequence[Scores], images: Images, conventions: Sequence[str], workers: int) -> tuple[Measured, Curves]:
    """Counts of each image and metrics under each convention, areas and calibration; and the curves."""
    found = evaluate(zip(maps, images.masks, strict=True), conventions, workers=workers)
    curves, reliability = found.curves, calibration(found.curve_counts.histogram)
    measured = Measured(
        counts={name: plain(columns) for name, columns in found.counts.items()},
        scores={name: summarise(columns) for name, columns in found.counts.items()},
        hierarchical={name: column.tolist() for name, column in found.hierarchical.items()},
        areas=Areas(curves.pixel.area, curves.target.area, curves.precision_recall.area),
        calibration=Reliability(
            ece=reliability.ece,
            ece_candidates=reliability.ece_candidates,
            pixels=reliability.pixels.tolist(),
            score=reliability.score.tolist(),
            share=reliability.share.tolist(),
        ),
    )
    return measured, curves


def operating_points(
    choosing: tuple[Sequence[Scores], Images],
    reported: tuple[Sequence[Scores], Images],
    convention: str,
    budgets: Sequence[Budget],
) -> list[OperatingPoint]:
    """A plain and a cautious operating point for each budget.

    Args:
        choosing: score maps and images that choose the thresholds.
        reported: those that the points are reported on.
        convention: of both.
        budgets: of false alarms.
    """
    maps, images = choosing
    found = evaluate(zip(maps, images.masks, strict=True), [convention])
    points, known = [], dict[float, tuple[Counts, Score]]()
    for budget in budgets:
        for cautious in (False, True):
            threshold = operating_point(found, convention, budget, cautious)
            if threshold not in known:
                known[threshold] = counted_at(threshold, *reported, convention)
            points.append(OperatingPoint(budget, cautious, threshold, *known[threshold]))
    return points


def counted_at(threshold: float, maps: Sequence[Scores], images: Images, convention: str) -> tuple[Counts, Score]:
    """Counts of each image and metrics at a threshold."""
    rule = convention_named(convention)
    pairs = zip(maps, images.masks, strict=True)
    columns = as_columns([count(scores, mask, rule, threshold) for scores, mask in pairs])
    return plain(columns), summarise(columns)


def plain(columns: Mapping[str, npt.NDArray[np.int64]]) -> Counts:
    """Counts as lists."""
    return {name: columns[name].tolist() for name in COUNT_FIELDS}
