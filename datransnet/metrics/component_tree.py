"""The components of score maps at many thresholds at once, without labelling every threshold.

A lower threshold only adds pixels, so components grow and merge: they form a tree. It is grown from the highest
threshold down; at each one only the new pixels and the components they touch are looked at. So the work goes with the
number of pixels, not with pixels × thresholds. Many images grow in the same arrays, side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components

from datransnet.components import EIGHT

Integers = npt.NDArray[np.int64]

DENSE = 64
"""If more than one in this many pixels is new at a threshold, labelling the whole image anew is quicker than following
the new pixels."""


@dataclass(frozen=True)
class ComponentTree:
    """The components of N score maps at K rising thresholds. One that stays the same over several is held once.

    Attributes:
        image: which score map each of the M components is in, (M,).
        first: index of the lowest threshold at which it exists in this form, (M,).
        last: index of the highest, (M,).
        areas: in pixels, (M,).
        centroids: row and column, (M, 2).
        start: its first pixel; at one threshold of one image this sorts components in raster order, (M,).
        predicted: pixels above each threshold, (N, K).
    """

    image: Integers
    first: Integers
    last: Integers
    areas: Integers
    centroids: npt.NDArray[np.float64]
    start: Integers
    predicted: Integers


def component_tree(maps: Sequence[npt.NDArray[np.floating]], thresholds: npt.NDArray[np.floating]) -> ComponentTree:
    """Find the 8-connected components of ``scores > threshold`` for every threshold.

    Args:
        maps: N score maps H×W, sizes may differ.
        thresholds: (K,), rising, K < 65,536.

    >>> tree = component_tree([np.array([[0.9, 0.2, 0.7]])], np.array([0.1, 0.5, 0.8]))
    >>> [(int(a), int(f), int(l)) for a, f, l in zip(tree.areas, tree.first, tree.last)]
    [(1, 1, 2), (1, 1, 1), (3, 0, 0)]
    """
    canvas = _Canvas(maps, thresholds)
    growth = _Growth(canvas)
    for level in range(len(thresholds), 0, -1):
        growth.lower(level)
    return growth.tree()


class _Canvas:
    """Score maps as levels (thresholds below the score), one below the other, with zeros between all rows."""

    def __init__(self, maps: Sequence[npt.NDArray[np.floating]], thresholds: npt.NDArray[np.floating]) -> None:
        heights = np.array([scores.shape[0] for scores in maps], dtype=np.int64)
        self.tops = np.cumsum(heights + 1) - heights
        self.number, self.thresholds = len(maps), len(thresholds)
        self.width = 1 + max((scores.shape[1] for scores in maps), default=0)
        self.levels = np.zeros((1 + int((heights + 1).sum()), self.width), dtype=np.uint16)
        for top, scores in zip(self.tops, maps, strict=True):
            height, width = scores.shape
            self.levels[top : top + height, :width] = np.searchsorted(thresholds.astype(scores.dtype), scores)
        self.image_of_row = np.concatenate([[0], np.repeat(np.arange(self.number), heights + 1)])
        pixels = np.flatnonzero(self.levels)
        levels = self.levels.ravel()[pixels]
        order = np.argsort(levels, kind="stable")
        self.pixels = pixels[order]
        rows, columns = np.divmod(self.pixels, self.width)
        self.images = self.image_of_row[rows]
        self.places = (rows - self.tops[self.images]).astype(np.float64), columns.astype(np.float64)
        self.bounds = np.searchsorted(levels[order], np.arange(self.thresholds + 2))

    def at(self, level: int) -> slice:
        """Where in `pixels` those of one level are, in raster order."""
        return slice(self.bounds[level], self.bounds[level + 1])


class _Growth:
    """The components found so far, as a forest; node 0 stands for "not predicted yet"."""

    def __init__(self, canvas: _Canvas) -> None:
        self.canvas = canvas
        room = len(canvas.pixels) + 1  # each node has a pixel that was new with it
        self.count = 1
        self.parent = np.zeros(room, dtype=np.int64)  # the node it went into, or one further up; itself at the top
        self.first, self.last, self.start, self.areas = np.zeros((4, room), dtype=np.int64)
        self.turn = np.zeros(room, dtype=np.int64)  # scratch
        self.sums = np.zeros((2, room))  # of rows and columns within the image
        self.node = np.zeros(canvas.levels.size, dtype=np.int64)  # of each pixel, when it was new
        width = canvas.width
        self.around = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])

    def lower(self, level: int) -> None:
        """Go down to a level: its pixels and the components they touch become new components."""
        within = self.canvas.at(level)
        new = self.canvas.pixels[within]
        if not len(new):
            return
        labelling = self._by_labelling if len(new) * DENSE > self.canvas.levels.size else self._by_following
        label, merged, label_of_merged = labelling(new, level)
        number = 1 + int(label.max())
        fresh = slice(self.count, self.count + number)
        self.node[new] = self.count + label

        def total(of_new: npt.NDArray[np.float64] | None, of_merged: npt.NDArray[np.generic]) -> Any:
            return np.bincount(label, of_new, number) + np.bincount(label_of_merged, of_merged, number)

        self.areas[fresh] = total(None, self.areas[merged])
        for sums, places in zip(self.sums, self.canvas.places, strict=True):
            sums[fresh] = total(places[within], sums[merged])
        self.start[self.count + label[::-1]] = new[::-1]  # the first of each, written last
        np.minimum.at(self.start, self.count + label_of_merged, self.start[merged])
        self.last[fresh] = level - 1
        self.parent[fresh] = np.arange(self.count, self.count + number)
        self.first[merged] = level
        self.parent[merged] = self.count + label_of_merged
        self.count += number

    def _by_following(self, new: Integers, level: int) -> tuple[Integers, Integers, Integers]:
        """Components as connected parts of the graph of new pixels and the components beside them."""
        own = self.count + np.arange(len(new))
        self.node[new] = own
        beside = self.node[new[:, None] + self.around]
        pixel, side = np.nonzero((beside > 0) & (beside < own[:, None]))  # a pair of new pixels once
        other = beside[pixel, side]
        is_old = other < self.count
        tops = self._top(other[is_old])
        turns = np.arange(len(tops))
        self.turn[tops] = turns  # the last of equals stays: one of each, without sorting
        once = self.turn[tops] == turns
        merged = tops[once]
        other -= self.count
        other[is_old] = len(new) + (np.cumsum(once) - 1)[self.turn[tops]]
        size = len(new) + len(merged)
        ends = np.searchsorted(pixel, np.arange(size + 1))
        graph = sparse.csr_array((np.ones(len(pixel)), other, ends), shape=(size, size))
        label = connected_components(graph, directed=False)[1].astype(np.int64)
        return label[: len(new)], merged, label[len(new) :]

    def _by_labelling(self, new: Integers, level: int) -> tuple[Integers, Integers, Integers]:
        """The same from an image labelled anew; components without a new pixel stay what they are."""
        labels = ndimage.label(self.canvas.levels >= level, structure=EIGHT)[0].ravel()
        grown = np.zeros(int(labels.max()) + 1, dtype=bool)
        grown[labels[new]] = True
        number = np.cumsum(grown) - 1
        tops = np.flatnonzero(self.parent[: self.count] == np.arange(self.count))[1:]
        within = labels[self.start[tops]]
        merged = tops[grown[within]]
        return number[labels[new]], merged, number[labels[self.start[merged]]]

    def _top(self, nodes: Integers) -> Integers:
        """The living components that nodes have become; shortens the ways it went."""
        while True:
            up = self.parent[nodes]
            higher = self.parent[up]
            if np.array_equal(up, higher):
                return up
            self.parent[nodes] = higher
            nodes = higher

    def tree(self) -> ComponentTree:
        """What was found."""
        canvas, every = self.canvas, slice(1, self.count)
        areas, start = self.areas[every], self.start[every]
        step = canvas.thresholds + 1
        keys = canvas.images * step + canvas.levels.ravel()[canvas.pixels]
        histogram = np.bincount(keys, minlength=canvas.number * step).reshape(canvas.number, step)
        return ComponentTree(
            image=canvas.image_of_row[start // canvas.width],
            first=self.first[every],
            last=self.last[every],
            areas=areas,
            centroids=(self.sums[:, every] / areas).T,
            start=start,
            predicted=histogram[:, :0:-1].cumsum(axis=1)[:, ::-1],
        )
