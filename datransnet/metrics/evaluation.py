"""Every count and curve of a set of predictions in one pass, several images at a time."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from datransnet.components import components
from datransnet.metrics.conventions import Convention, convention_named
from datransnet.metrics.counts import Counts, Mask, Scores, count_each, validate, white
from datransnet.metrics.curves import CurveCounts, Curves, Values, count_curves, logit_thresholds
from datransnet.metrics.detection import Detections
from datransnet.metrics.hierarchical import HierarchicalCounts, hierarchical_columns, hierarchical_count
from datransnet.metrics.score import Column, as_columns

PIECE = 3 * 2**19
"""Pixels that are counted together, 24 images of 256²: fewer cost more calls, more only memory."""

MOST_WORKERS = 8
"""Threads; each holds a piece, about 200 MB with all it takes to count it."""

Pair = tuple[Scores, Mask]


@dataclass(frozen=True)
class Evaluation:
    """What a set of predictions is worth.

    Attributes:
        counts: by convention, columns with a row for each image (see `Counts`); `summarise` makes metrics of them.
        hierarchical: columns with a row for each image (see `HierarchicalCounts`); `hierarchical_summary` makes metrics
            of them.
        detections: by convention, what each image contributes to the Pd-Fa curve; `operating_point` reads them.
        curve_counts: sums behind the curves; `calibration` reads their histogram.
    """

    counts: Mapping[str, Mapping[str, Column]]
    hierarchical: Mapping[str, Values]
    detections: Mapping[str, Detections]
    curve_counts: CurveCounts

    @property
    def curves(self) -> Curves:
        """Pixel ROC, precision-recall, target ROC, and Pd-Fa by convention."""
        return self.curve_counts.curves()


def evaluate(
    pairs: Iterable[Pair],
    conventions: Sequence[str] = ("basicirstd",),
    thresholds: Values | None = None,
    threshold: float = 0.5,
    workers: int | None = None,
) -> Evaluation:
    """Count predictions under several conventions, at one threshold and along curves.

    Args:
        pairs: (scores H×W in [0, 1], mask H×W as `count` takes it), consumed once; a piece for each worker is held at
            a time.
        conventions: names in `CONVENTIONS`.
        thresholds: of the Pd-Fa curves, rising; `logit_thresholds` if not given.
        threshold: of the counts; scores strictly above it are predicted.
        workers: threads; if not given, the cores this process may use, at most `MOST_WORKERS`. The result does not
            depend on it.

    Raises:
        ParameterError: if a convention is unknown.
        DataError: if a pair does not fit.

    >>> import numpy as np
    >>> mask = np.zeros((8, 8)); mask[2:4, 2:4] = 1
    >>> found = evaluate([(0.9 * mask, mask)], ["basicirstd", "datransnet"])
    >>> found.counts["datransnet"]["detected"].tolist(), found.curves.pixel.area
    ([1], 1.0)
    """
    rules = [convention_named(name) for name in conventions]
    levels = logit_thresholds() if thresholds is None else thresholds
    workers = workers or min(MOST_WORKERS, len(os.sched_getaffinity(0)))
    counts: list[list[Counts]] = []
    matched: list[HierarchicalCounts] = []
    sums, detected = count_curves([], [], [], rules, levels)
    with ThreadPoolExecutor(workers) as pool:
        pieces = _pieces(pairs)
        while together := list(islice(pieces, workers)):
            for found, pairing, curves, each in pool.map(
                lambda piece: _count(piece, rules, levels, threshold), together
            ):
                counts += found
                matched += pairing
                sums = sums + curves
                detected = {name: detected[name] + more for name, more in each.items()}
    columns = {rule.name: as_columns([each[place] for each in counts]) for place, rule in enumerate(rules)}
    return Evaluation(columns, hierarchical_columns(matched), detected, sums)


def roc(
    pairs: Iterable[Pair], conventions: Sequence[str] = ("basicirstd",), thresholds: Values | None = None
) -> Curves:
    """Pixel ROC, precision-recall, target ROC and Pd-Fa of predictions; arguments and errors as `evaluate`.

    >>> import numpy as np
    >>> mask = np.zeros((8, 8)); mask[2:4, 2:4] = 1
    >>> curves = roc([(0.9 * mask, mask)])
    >>> curves.pixel.area, float(curves.pd_fa["basicirstd"].y.max())
    (1.0, 1.0)
    """
    return evaluate(pairs, conventions, thresholds).curves


def _count(
    piece: Sequence[Pair], rules: Sequence[Convention], thresholds: Values, threshold: float
) -> tuple[list[list[Counts]], list[HierarchicalCounts], CurveCounts, dict[str, Detections]]:
    """Counts of each image under each convention, of hierarchical IoU, and at thresholds; and the sums of the piece."""
    maps = [scores if scores.dtype.kind == "f" else scores.astype(np.float32) for scores, _ in piece]
    truths = [validate(scores, mask) for scores, mask in piece]
    targets = [components(truth) for truth in truths]
    whites = [white(mask) for _, mask in piece]
    counts = [
        count_each(scores, truth, found, rules, threshold, matching)
        for scores, truth, found, matching in zip(maps, truths, targets, whites, strict=True)
    ]
    matched = [hierarchical_count(scores > threshold, found) for scores, found in zip(maps, targets, strict=True)]
    return counts, matched, *count_curves(maps, truths, targets, rules, thresholds)


def _pieces(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    """Lists of pairs of at least `PIECE` pixels, and what is left."""
    piece, pixels = list[Pair](), 0
    for pair in pairs:
        piece.append(pair)
        pixels += pair[0].size
        if pixels >= PIECE:
            yield piece
            piece, pixels = [], 0
    if piece:
        yield piece
