"""Pictures of a leaderboard: accuracy against cost, places, images by IoU, and what tuning brings whom."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pipeline.reporting.board import Board, Entry
from pipeline.reporting.figures import COLOURS, save
from pipeline.reporting.statistics import LEAST_SEEDS, estimates
from pipeline.reporting.tuning_curve import tuning_curve

Dashes = Literal["-", "--", "-.", ":"]

MARKERS = "osD^vP*X"
DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")
"""Colours repeat after eight lines; then the marker and the line's style are others."""


def draw_leaderboard(found: Sequence[Board], folder: Path, name: str = "leaderboard") -> None:
    """``<name>.{png,svg,pdf}``: four panels for each dataset, in a square if there is one, else in a column each.

    IoU over the time of an image, with the interval over seeds; the places that are open; the share of test images
    whose IoU is above a value; and the tuning curve of each search with its band.
    """
    alone, looks = len(found) == 1, looks_of(found)
    shape, size = ((2, 2), (9.6, 7.2)) if alone else ((4, len(found)), (4.8 * len(found), 12.6))
    figure, axes = plt.subplots(*shape, figsize=size, squeeze=False)
    for (costs, places, profile, tuning), board in zip([axes.ravel()] if alone else axes.T, found, strict=True):
        _costs(costs, board, looks)
        _places(places, board, looks)
        _profile(profile, board, looks)
        _tuning(tuning, board, looks)
    lines = [Line2D([], [], color=colour, marker=marker, linestyle=dashes) for colour, marker, dashes in looks.values()]
    figure.legend(lines, list(looks), loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    save(figure, folder, name)


Looks = dict[str, tuple[str, str, Dashes]]
"""Colour, marker and line style of each line, by its title."""


def looks_of(found: Sequence[Board]) -> Looks:
    """What each line looks like, the same on every dataset."""
    titles = dict.fromkeys(entry.title for board in found for entry in board.entries)
    return {
        title: (COLOURS[number % 8], MARKERS[number // 8 % 8], DASHES[number // 8 % 4])
        for number, title in enumerate(titles)
    }


def _costs(axes: Axes, board: Board, looks: Looks) -> None:
    for entry in board.entries:
        if entry.price is None:
            continue
        estimate, (colour, marker, _) = estimates(entry.counts, ["iou"])["iou"], looks[entry.title]
        error = None if len(entry.counts) < LEAST_SEEDS else 100 * estimate.half_width
        place = entry.price.latency, 100 * estimate.mean
        axes.errorbar(*place, yerr=error, fmt=marker, color=colour, capsize=3)
    # An interval over few seeds may go below 0, where no IoU is.
    axes.set(xscale="log", xlabel="milliseconds an image", ylabel="IoU (%)", title=board.dataset, ylim=(0, None))
    # Matplotlib's own labels lie over each other where less than two decades are shown.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _places(axes: Axes, board: Board, looks: Looks) -> None:
    for row, entry in enumerate(board.entries):
        colour, marker, _ = looks[entry.title]
        axes.plot([entry.place.best, entry.place.worst], [row, row], color=colour, linewidth=3, alpha=0.4)
        axes.plot(entry.place.place, row, marker, color=colour)
    axes.set_yticks(range(len(board.entries)), [entry.title for entry in board.entries], fontsize=7)
    axes.set(xlabel="place, and those that are open", xticks=range(1, len(board.entries) + 1))
    axes.invert_yaxis()


def _profile(axes: Axes, board: Board, looks: Looks) -> None:
    levels = np.linspace(0, 1, 101)
    for entry in board.entries:
        values = _per_image(entry)
        above = [float((values > level).mean()) for level in levels]
        colour, _, dashes = looks[entry.title]
        axes.plot(100 * levels, above, dashes, color=colour)
    axes.set(xlabel="IoU of an image (%)", ylabel="share of images above", ylim=(0, 1))


def _per_image(entry: Entry) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """IoU of each test image that has a target, over all trainings."""
    columns = [(seed["intersection"], seed["union"], seed["targets"]) for seed in entry.counts]
    inside, union, targets = (np.concatenate([np.asarray(column[n]) for column in columns]) for n in range(3))
    return np.asarray(inside[targets > 0] / union[targets > 0], dtype=np.float64)


def _tuning(axes: Axes, board: Board, looks: Looks) -> None:
    most = 0.0
    for entry in board.entries:
        if entry.tuned is None:
            continue
        values = [trial.best_iou for trial in entry.tuned.trials]
        curve, (colour, _, dashes) = tuning_curve(values, range(1, len(values) + 1)), looks[entry.title]
        axes.step(curve.numbers, 100 * curve.median, dashes, color=colour, where="post")
        for end in (curve.low, curve.high):
            axes.step(curve.numbers, 100 * end, color=colour, where="post", linewidth=0.8, linestyle=":")
        most = max(most, *values)
    # A band that reaches 100 % leaves nothing to be seen of the curves.
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(
        xlabel="trials of a search (dotted: 95 % band)",
        ylabel="validation IoU of the best (%)",
        ylim=(0, 150 * most or 1),
    )
