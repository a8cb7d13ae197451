"""Figures: the same data always gives the same bytes, so that version control stays quiet."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from pipeline.reporting.tuning_curve import tuning_curve
from pipeline.scoring.evaluation import ScoredRun, StudyEvaluation
from pipeline.study.handover import Importance, TrialResult
from pipeline.study.params import WINNER
from pipeline.study.search_space import section_and_name
from pipeline.study.status import Status

matplotlib.use("Agg")
matplotlib.rcParams.update(
    {
        "svg.hashsalt": "datransnet",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "figure.constrained_layout.use": True,
    }
)

from matplotlib import pyplot as plt  # noqa: E402  # the backend must be chosen first
from matplotlib.figure import Figure  # noqa: E402

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#666666")
"""Okabe and Ito's palette: distinct for colour-blind readers too."""


COLUMN, PAGE = 3.5, 7.16
"""Width in inches of one column and of two of an IEEE paper."""


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write ``<name>.png``, ``.svg`` and ``.pdf`` (vector, no wider than two columns of a paper) and forget it."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=150, metadata={"Software": None})
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    width, height = figure.get_size_inches()
    scale = (COLUMN if width < 5 else PAGE) / width
    figure.set_size_inches(width * scale, height * scale)
    with plt.rc_context({"pdf.fonttype": 42}):  # fonts that publishers accept
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    plt.close(figure)


def embedded(path: Path) -> tuple[str, int, int]:
    """A PNG file as a data URI for an HTML page, and its width and height in pixels."""
    with Image.open(path) as image:
        width, height = image.size
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(), width, height


def curve_panels(evaluation: StudyEvaluation) -> tuple[tuple[str, str, str, str], ...]:
    """Kind, title and axes of the curves that a study shows."""
    convention = evaluation.conventions[0]
    return (
        ("pixel", "pixel ROC", "false positive rate, pixels", "true positive rate, pixels"),
        ("target", "target ROC (DATransNet release)", "background pixels hit", "targets hit"),
        (f"pd_fa_{convention}", f"Pd-Fa ({convention})", "Fa, false-alarm pixels / pixels", "Pd, targets detected"),
    )


def roc_figure(curves: Mapping[str, pd.DataFrame], evaluation: StudyEvaluation) -> Figure:
    """Pixel ROC (logarithmic FPR), target ROC of the DATransNet release, and Pd over Fa; a line a run or peer."""
    runs, convention = evaluation.scored, evaluation.conventions[0]
    variants = list(dict.fromkeys(run.variant for run in runs))
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.3))
    for axis, (kind, title, x, y) in zip(axes, curve_panels(evaluation), strict=True):
        named = set[str]()
        for run in runs:
            frame, variant = curves[run.key], run.variant
            shown = frame[(frame["curve"] == kind) & (frame["x"] > 0)]
            colour = COLOURS[variants.index(variant) % len(COLOURS)]
            width = 1.6 if variant == WINNER else 0.9
            axis.plot(
                shown["x"], shown["y"], color=colour, linewidth=width, label=None if variant in named else variant
            )
            named.add(variant)
        axis.set(title=title, xlabel=x, ylabel=y, xscale="log", ylim=(0, 1.02))
    for winner in evaluation.winners:
        for scores, face in ((winner.scores[convention], COLOURS[0]), (winner.operating[0].scores, "white")):
            axes[2].plot(scores.fa, scores.pd, "o", color=COLOURS[0], markerfacecolor=face, markersize=5)
    axes[0].legend(fontsize=7, loc="lower right")
    return figure


def calibration_figure(runs: Sequence[ScoredRun]) -> Figure:
    """The share of target pixels over the score, and the number of pixels, with a line for each run."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
    left.plot([0, 1], [0, 1], color=COLOURS[7], linewidth=0.8, linestyle="--")
    for index, run in enumerate(runs):
        found, colour = run.calibration, COLOURS[index % len(COLOURS)]
        left.plot(found.score, found.share, color=colour, marker=".", label=f"seed {run.seed_number}")
        edges = np.linspace(0, 1, len(found.pixels) + 1)
        right.stairs(found.pixels, edges, color=colour)
    left.set(xlabel="score", ylabel="share of target pixels", xlim=(0, 1), ylim=(0, 1))
    right.set(xlabel="score", ylabel="pixels", yscale="log", xlim=(0, 1))
    left.legend(fontsize=7)
    return figure


def limit_figure(limit: pd.DataFrame) -> Figure:
    """Pd with its interval over local SCR, with a line for each class of target sizes."""
    figure, axis = plt.subplots(figsize=(4.6, 3))
    widest = 10.0  # where the last, open class is drawn
    widths = (limit["high"] - limit["low"]).clip(upper=widest)
    for index, (size, rows) in enumerate(limit.assign(width=widths).groupby("size", sort=False)):
        places = rows["low"] + rows["width"] * (0.55 if index else 0.45)
        lengths = np.clip([rows["pd"] - rows["pd_low"], rows["pd_high"] - rows["pd"]], 0, 1)
        axis.errorbar(places, rows["pd"], yerr=lengths, color=COLOURS[index], marker="o", capsize=2, label=size)
    axis.set(xlabel="local SCR", ylabel="Pd, targets detected", ylim=(0, 1.02))
    axis.legend(fontsize=7, loc="lower right")
    return figure


def search_figure(trials: Sequence[TrialResult]) -> Figure:
    """Every trial's best validation IoU over its epochs, and the best so far over trials."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    for trial in trials:
        colour = COLOURS[0] if trial.status is Status.DONE else COLOURS[7]
        epochs = range(1, len(trial.history) + 1)
        left.plot(epochs, trial.history, color=colour, alpha=0.8, marker=".", linewidth=1)
    left.set(title="trials (grey: stopped before their end)", xlabel="epoch", ylabel="best validation IoU")
    values = [trial.best_iou for trial in trials]
    numbers = range(1, len(values) + 1)
    right.plot(numbers, values, "o", color=COLOURS[0])
    right.step(numbers, np.maximum.accumulate(values), where="post", color=COLOURS[1])
    curve = tuning_curve(values, numbers)
    right.plot(numbers, curve.median, color=COLOURS[2], linestyle="--")
    right.fill_between(numbers, curve.low, curve.high, color=COLOURS[2], alpha=0.15, linewidth=0)
    right.set(title="best so far; dashed: of as many draws", xlabel="trial", ylabel="validation IoU")
    return figure


def _scale(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]], bool]:
    """A dimension's values as numbers, its labelled places, and whether its axis is logarithmic.

    Numbers that span more than a factor of ten have a logarithmic axis. Values that are no numbers have a tick for each
    distinct one.
    """
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        numbers = [float(value) for value in values]
        low, high = min(numbers), max(numbers)
        return numbers, [(low, f"{low:.2g}"), (high, f"{high:.2g}")], low > 0 and high > 10 * low
    kinds = sorted({str(value) for value in values})
    return [float(kinds.index(str(value))) for value in values], [(i, kind) for i, kind in enumerate(kinds)], False


def _dimensions(trials: Sequence[TrialResult]) -> list[str]:
    return list(dict.fromkeys(key for trial in trials for key in trial.point))


def _importance(found: Importance | None) -> str:
    return f"\n{found.share:.0%} [{found.low:.0%}, {found.high:.0%}]" if found else ""


def slices_figure(trials: Sequence[TrialResult], importances: Mapping[str, Importance]) -> Figure:
    """Validation IoU over each searched parameter, with a dot for each trial, and its importance in the title."""
    names = _dimensions(trials)
    figure, axes = plt.subplots(1, len(names), figsize=(2.3 * len(names), 2.5), sharey=True, squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        shown = [trial for trial in trials if name in trial.point]
        places, labels, logarithmic = _scale([trial.point[name] for trial in shown])
        order = [trial.number for trial in shown]
        axis.scatter(places, [t.best_iou for t in shown], c=order, cmap="Blues", vmin=-len(trials) / 2, s=18)
        title = section_and_name(name)[1] + _importance(importances.get(name))
        axis.set_title(title, fontsize=8)
        if logarithmic:
            axis.set_xscale("log")
        elif isinstance(shown[0].point[name], str | bool):
            axis.set(xticks=[place for place, _ in labels], xlim=(-0.5, len(labels) - 0.5))
            axis.set_xticklabels([label for _, label in labels], fontsize=6, rotation=15)
    axes[0][0].set_ylabel("validation IoU")
    return figure


def parallel_figure(trials: Sequence[TrialResult]) -> Figure:
    """Every trial as a line through its values and its validation IoU; good ones dark."""
    names = _dimensions(trials)
    figure, axis = plt.subplots(figsize=(1.5 * len(names) + 2, 3))
    columns: list[dict[int, float]] = []
    for place, name in enumerate(names):
        shown = [trial for trial in trials if name in trial.point]
        values, labels, logarithmic = _scale([trial.point[name] for trial in shown])
        warp = np.log if logarithmic else np.asarray
        ends = warp([min(values), max(values)])
        reach = (ends[1] - ends[0]) or 1.0
        columns.append({t.number: (warp(v) - ends[0]) / reach for t, v in zip(shown, values, strict=True)})
        for value, label in labels:
            axis.text(place + 0.03, float((warp(value) - ends[0]) / reach), label[:18], fontsize=6, va="center")
    iou = [trial.best_iou for trial in trials]
    low, high = min(iou), max(iou)
    columns.append({trial.number: (trial.best_iou - low) / ((high - low) or 1.0) for trial in trials})
    for trial in sorted(trials, key=lambda trial: trial.best_iou):
        line = [column.get(trial.number, np.nan) for column in columns]
        shade = plt.get_cmap("viridis_r")(columns[-1][trial.number])
        axis.plot(range(len(line)), line, color=shade, linewidth=1.2, marker=".", markersize=4)
    for value in (low, high):
        axis.text(len(names) + 0.03, (value - low) / ((high - low) or 1.0), f"{value:.3f}", fontsize=6, va="center")
    axis.set(yticks=[], xticks=range(len(names) + 1), xlim=(-0.1, len(names) + 0.4))
    axis.set_xticklabels([*(section_and_name(name)[1] for name in names), "validation IoU"], fontsize=8)
    return figure


def pareto_figure(trials: Sequence[TrialResult], front: Sequence[int], objectives: Sequence[str]) -> Figure:
    """Validation IoU over each cost; filled dots are trials that no other beats in everything."""
    figure, axes = plt.subplots(1, len(objectives) - 1, figsize=(4 * len(objectives) - 4, 3), squeeze=False)
    complete = [trial for trial in trials if trial.status is Status.DONE]
    for axis, name in zip(axes[0], objectives[1:], strict=True):
        for trial in complete:
            face = COLOURS[0] if trial.number in front else "none"
            axis.plot(trial.costs[name], trial.best_iou, "o", color=COLOURS[0], markerfacecolor=face)
        axis.set(xlabel="latency (ms)" if name == "latency" else name, ylabel="validation IoU", xscale="log")
    return figure


def training_figure(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss and validation IoU over epochs, with a line for each run.

    ``histories`` maps the label of a run to its metrics, with a row for each epoch.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    for index, (label, history) in enumerate(histories.items()):
        colour = COLOURS[index % len(COLOURS)]
        left.plot(history["epoch"], history["loss"], color=colour, label=label)
        validated = history.dropna(subset=["val_iou"])
        right.plot(validated["epoch"], validated["val_iou"], color=colour, marker=".")
    left.set(title="training loss", xlabel="epoch")
    right.set(title="validation IoU", xlabel="epoch", ylim=(0, 1))
    left.legend(fontsize=7)
    return figure


def examples_figure(examples: Mapping[str, npt.NDArray[Any]]) -> Figure:
    """Chosen test images: image, mask, scores, and errors in colour."""
    ids = [str(id_) for id_ in examples["ids"]]
    figure, axes = plt.subplots(len(ids), 4, figsize=(7, 1.75 * len(ids)), squeeze=False)
    for title, axis in zip(("image", "mask", "scores", "hit, missed, false"), axes[0], strict=True):
        axis.set_title(title)
    for row, id_ in enumerate(ids):
        image, mask, scores = (examples[f"{kind}{row}"] for kind in ("image", "mask", "scores"))
        predicted = scores > 0.5
        errors = np.repeat(image[..., None] // 2, 3, axis=2)
        for where, colour in (
            (predicted & mask, (0, 200, 120)),
            (~predicted & mask, (255, 170, 0)),
            (predicted & ~mask, (235, 50, 80)),
        ):
            errors[where] = colour
        shown = ((image, "gray", 255), (mask, "gray", 1), (scores, "magma", 1), (errors, None, None))
        for axis, (pixels, colours, highest) in zip(axes[row], shown, strict=True):
            axis.imshow(pixels, interpolation="nearest", cmap=colours, vmin=0, vmax=highest)
            axis.set(xticks=[], yticks=[])
        iou = examples["iou"][row]
        found = "no target" if np.isnan(iou) else f"IoU {iou:.2f}"
        axes[row][0].set_ylabel(f"{examples['kinds'][row]}\n{id_}, {found}", fontsize=6)
    return figure
