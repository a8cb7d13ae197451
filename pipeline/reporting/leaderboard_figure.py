"""Accuracy against cost: what a millisecond buys."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt

from pipeline.reporting.figures import COLOURS, save
from pipeline.reporting.leaderboard import Board
from pipeline.reporting.statistics import estimates


def draw_leaderboard(found: Sequence[Board], folder: Path) -> None:
    """``leaderboard.{png,svg,pdf}``: IoU over latency, a panel a dataset, with the interval over seeds."""
    figure, panels = plt.subplots(1, len(found), figsize=(4.6 * len(found), 3.4), squeeze=False)
    for axes, board in zip(panels[0], found, strict=True):
        timed = [entry for entry in board.entries if entry.latency is not None]
        for number, entry in enumerate(timed):
            estimate = estimates(entry.counts, ["iou"])["iou"]
            colour = COLOURS[number % len(COLOURS)]
            error = None if len(entry.counts) < 3 else 100 * estimate.half_width
            axes.errorbar(entry.latency, 100 * estimate.mean, yerr=error, fmt="o", color=colour, capsize=3)
            axes.annotate(
                entry.network, (entry.latency, 100 * estimate.mean), (5, 4), textcoords="offset points", color=colour
            )
        axes.set(xscale="log", xlabel="milliseconds an image", ylabel="IoU (%)", title=board.dataset)
        axes.margins(x=0.25)
    save(figure, folder, "leaderboard")
