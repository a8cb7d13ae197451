"""Places of methods by a metric, with what the trainings at hand leave open.

A method's place is not known where others cannot be told from it. All pairs are compared over seeds and images at once
(`pipeline.reporting.claims`), with Holm's correction for all of them: behind whom a method surely is, and before whom,
bounds its place. All these bounds hold together in 95 of 100 benchmarks. So confidence sets for ranks are made from
confidence sets for differences (Mogstad, Romano, Shaikh, Wilhelm, Review of Economic Studies 91, 2024).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from datransnet.metrics import ratio
from pipeline.reporting.claims import LEAST_TRAININGS, difference
from pipeline.reporting.statistics import LEAST_IMAGES, LEVEL, Terms, holm


@dataclass(frozen=True)
class Place:
    """Where a method stands among others.

    Attributes:
        place: by the mean over its trainings, from 1.
        best: the best place that the trainings leave open.
        worst: the worst.
        before: places in the list of those that it surely is before.
    """

    place: int
    best: int
    worst: int
    before: tuple[int, ...] = field(default=(), compare=False)


def places(methods: Sequence[Terms]) -> list[Place]:
    """The places of methods, the highest value first.

    Args:
        methods: numerator and denominator of a metric for each, seeds × images, all on the same images.

    >>> rng = np.random.default_rng(0)
    >>> below = np.full((4, 100), 20.0)
    >>> good, same, poor = (below * (q + 0.01 * rng.normal(size=(4, 1))) for q in (0.8, 0.8, 0.6))
    >>> [(each.best, each.worst) for each in places([(poor, below), (good, below), (same, below)])]
    [(3, 3), (1, 2), (1, 2)]
    """
    means = [float(np.mean(ratio(*terms))) for terms in methods]
    order = sorted(range(len(methods)), key=lambda index: -means[index])
    pairs = list(combinations(range(len(methods)), 2))
    found = [difference(methods[first], methods[second]) for first, second in pairs]
    told = [not math.isnan(p) and p <= 1 - LEVEL for p in holm([each.p for each in found])]
    before: list[list[int]] = [[] for _ in methods]
    for (first, second), each, sure in zip(pairs, found, told, strict=True):
        if sure:
            winner, loser = (second, first) if each.change > 0 else (first, second)
            before[winner].append(loser)
    behind = [sum(index in losers for losers in before) for index in range(len(methods))]
    return [
        Place(order.index(index) + 1, 1 + behind[index], len(methods) - len(losers), tuple(sorted(losers)))
        for index, losers in enumerate(before)
    ]


def place_cell(place: Place) -> str:
    """A place for people: ``2 [1, 4]``; alone where nothing else is left open.

    >>> place_cell(Place(2, 1, 4)), place_cell(Place(1, 1, 1))
    ('2 [1, 4]', '1')
    """
    return str(place.place) if place.best == place.worst else f"{place.place} [{place.best}, {place.worst}]"


RULE = (
    "Place: by mean IoU [the places that the trainings leave open, 95 % for all lines at once]; with fewer than "
    f"{LEAST_TRAININGS} trainings of a network, or fewer than {LEAST_IMAGES} images, everything is open."
)
