"""Targets detected and false alarms at every threshold, from the component tree; equal to `count` at each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from datransnet.components import Components
from datransnet.metrics.component_tree import ComponentTree, Integers
from datransnet.metrics.matching import DISTANCE


@dataclass(frozen=True)
class Detections:
    """What N images contribute at K thresholds, (N, K) each.

    Attributes:
        detected: targets that are detected.
        false_alarm: false-alarm pixels, as the convention counts them.
        alarms: number of the unused components that they are of; None under a convention that knows pixels only.
    """

    detected: Integers
    false_alarm: Integers
    alarms: Integers | None

    def __add__(self, other: "Detections") -> "Detections":
        alarms = None if self.alarms is None or other.alarms is None else np.concatenate([self.alarms, other.alarms])
        detected, false_alarm = (
            np.concatenate([getattr(each, name) for each in (self, other)]) for name in ("detected", "false_alarm")
        )
        return Detections(detected, false_alarm, alarms)


def detections(tree: ComponentTree, targets: Sequence[Components], fa: Literal["components", "areas"]) -> Detections:
    """Match targets and components at every threshold, as `match` does at one.

    Args:
        tree: of N score maps at K thresholds.
        targets: components of their N masks.
        fa: see `Convention`.
    """
    number, steps = tree.predicted.shape
    image, step, component = _winners(tree, targets)
    place = image * steps + step
    detected = np.bincount(place, minlength=number * steps)
    areas = tree.areas[component]
    if fa == "components":
        used, spared = detected, np.bincount(place, areas, number * steps)
    else:
        place, areas, alike = _alike(tree, place, areas)
        used, spared = (np.bincount(place, weights, number * steps) for weights in (alike, areas * alike))
    detected, used, spared = (found.astype(np.int64).reshape(number, steps) for found in (detected, used, spared))
    return Detections(detected, tree.predicted - spared, _existing(tree) - used)


def _existing(tree: ComponentTree) -> Integers:
    """How many components each image has at each threshold, (N, K)."""
    number, steps = tree.predicted.shape
    begun, ended = (
        np.bincount(tree.image * (steps + 1) + at, minlength=number * (steps + 1)).reshape(number, steps + 1)
        for at in (tree.first, tree.last + 1)
    )
    return np.asarray((begun - ended).cumsum(axis=1)[:, :-1])


def _winners(tree: ComponentTree, targets: Sequence[Components]) -> tuple[Integers, Integers, Integers]:
    """Image, threshold and component of every detection."""
    image, step, rank, component = _candidates(tree, targets)
    steps = tree.predicted.shape[1]
    taken = np.zeros(0, dtype=np.int64)
    won = []
    for turn in range(int(rank.max(initial=-1)) + 1):  # targets of an image in raster order, all images at once
        mine = np.flatnonzero(rank == turn)
        mine = mine[~np.isin(component[mine] * steps + step[mine], taken)]
        mine = mine[np.lexsort((tree.start[component[mine]], step[mine], image[mine]))]
        place = image[mine] * steps + step[mine]
        mine = mine[np.diff(place, prepend=-1) > 0]  # the first in raster order at each threshold
        taken = np.concatenate([taken, component[mine] * steps + step[mine]])
        won.append(mine)
    chosen = np.concatenate(won) if won else taken
    return image[chosen], step[chosen], component[chosen]


def _candidates(tree: ComponentTree, targets: Sequence[Components]) -> tuple[Integers, Integers, Integers, Integers]:
    """Every (image, threshold, target's rank, component) whose centroids are near enough."""
    order = np.argsort(tree.image, kind="stable")
    bounds = np.searchsorted(tree.image[order], np.arange(len(targets) + 1))
    image, rank, component = [], [], []
    for index, found in enumerate(targets):
        inside = order[bounds[index] : bounds[index + 1]]
        for place, centroid in enumerate(found.centroids):
            distances = np.sqrt(((tree.centroids[inside] - centroid) ** 2).sum(axis=1))
            near = inside[distances < DISTANCE]
            component.append(near)
            image.append(np.full(len(near), index))
            rank.append(np.full(len(near), place))
    if not component:
        return (np.zeros(0, dtype=np.int64),) * 4
    joined = np.concatenate(component)
    spans = tree.last[joined] - tree.first[joined] + 1
    offsets = np.arange(spans.sum()) - np.repeat(np.cumsum(spans) - spans, spans)
    step = np.repeat(tree.first[joined], spans) + offsets
    return (
        np.repeat(np.concatenate(image), spans),
        step,
        np.repeat(np.concatenate(rank), spans),
        np.repeat(joined, spans),
    )


def _alike(tree: ComponentTree, place: Integers, areas: Integers) -> tuple[Integers, Integers, Integers]:
    """How many components have exactly the area of a used one, in the same image and at the same threshold.

    Each distinct (image, threshold, area) of the used components is counted once.
    """
    steps = tree.predicted.shape[1]
    sizes = int(tree.areas.max(initial=0)) + 1
    place, areas = np.divmod(np.unique(place * sizes + areas), sizes)
    image, step = np.divmod(place, steps)

    def begun(thresholds: Integers, until: Integers) -> Integers:
        kinds = np.sort((tree.image * sizes + tree.areas) * (steps + 1) + thresholds)
        lowest = (image * sizes + areas) * (steps + 1)
        found: Integers = np.searchsorted(kinds, lowest + until, side="right") - np.searchsorted(kinds, lowest)
        return found

    return place, areas, begun(tree.first, step) - begun(tree.last, step - 1)
