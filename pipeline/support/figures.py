"""Figures: the same data always gives the same bytes, so that version control stays quiet."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

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


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write ``<name>.png`` and ``<name>.svg`` and forget the figure."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=150, metadata={"Software": None})
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def data_uri(path: Path) -> str:
    """A PNG as it stands inside a page."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def roc_figure(curves: Mapping[str, pd.DataFrame], evaluation: Mapping[str, Any]) -> Figure:
    """Pixel ROC (logarithmic FPR), target ROC of the DATransNet release, and Pd over Fa; a line a run or peer."""
    runs = [*evaluation["runs"], *evaluation["peers"]]
    convention = next(iter(runs[0]["counts"]))
    variants = list(dict.fromkeys(run["variant"] for run in runs))
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.3))
    panels = (
        ("pixel", "pixel ROC", "false positive rate, pixels", "true positive rate, pixels"),
        ("target", "target ROC (DATransNet release)", "background pixels hit", "targets hit"),
        (f"pd_fa_{convention}", f"Pd-Fa ({convention})", "Fa, false-alarm pixels / pixels", "Pd, targets detected"),
    )
    for axis, (kind, title, x, y) in zip(axes, panels, strict=True):
        named = set[str]()
        for run in runs:
            frame, variant = curves[run["key"]], run["variant"]
            shown = frame[(frame["curve"] == kind) & (frame["x"] > 0)]
            colour = COLOURS[variants.index(variant) % len(COLOURS)]
            width = 1.6 if variant == "full" else 0.9
            axis.plot(
                shown["x"], shown["y"], color=colour, linewidth=width, label=None if variant in named else variant
            )
            named.add(variant)
        axis.set(title=title, xlabel=x, ylabel=y, xscale="log", ylim=(0, 1.02))
    for run in runs:
        if run["variant"] == "full":
            for scores, face in ((run["scores"][convention], COLOURS[0]), (run["operating"]["scores"], "white")):
                axes[2].plot(scores["fa"], scores["pd"], "o", color=COLOURS[0], markerfacecolor=face, markersize=5)
    axes[0].legend(fontsize=7, loc="lower right")
    return figure


def calibration_figure(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Share of target pixels over score, and the number of pixels, a line a run."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
    left.plot([0, 1], [0, 1], color=COLOURS[7], linewidth=0.8, linestyle="--")
    for index, run in enumerate(runs):
        found, colour = run["calibration"], COLOURS[index % len(COLOURS)]
        left.plot(found["score"], found["share"], color=colour, marker=".", label=f"seed {run['seed']}")
        edges = np.linspace(0, 1, len(found["pixels"]) + 1)
        right.stairs(found["pixels"], edges, color=colour)
    left.set(xlabel="score", ylabel="share of target pixels", xlim=(0, 1), ylim=(0, 1))
    right.set(xlabel="score", ylabel="pixels", yscale="log", xlim=(0, 1))
    left.legend(fontsize=7)
    return figure


def limit_figure(limit: pd.DataFrame) -> Figure:
    """Pd with its interval over local SCR, a line a target size."""
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


def search_figure(trials: Sequence[Mapping[str, Any]]) -> Figure:
    """Every trial's best validation IoU over its epochs, and the best so far over trials."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    for trial in trials:
        colour = COLOURS[0] if trial["status"] == "done" else COLOURS[7]
        epochs = range(1, len(trial["history"]) + 1)
        left.plot(epochs, trial["history"], color=colour, alpha=0.8, marker=".", linewidth=1)
    left.set(title="trials (grey: stopped early by ASHA)", xlabel="epoch", ylabel="best validation IoU")
    values = [trial["best_iou"] for trial in trials]
    right.plot(range(1, len(values) + 1), values, "o", color=COLOURS[0])
    right.step(range(1, len(values) + 1), np.maximum.accumulate(values), where="post", color=COLOURS[1])
    right.set(title="best so far", xlabel="trial", ylabel="validation IoU")
    return figure


def training_figure(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and validation IoU of the trained runs over epochs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    for index, run in enumerate(runs):
        history = pd.DataFrame(run["history"])
        colour = COLOURS[index % len(COLOURS)]
        left.plot(history["epoch"], history["loss"], color=colour, label=f"seed {run['run']['seed']}")
        validated = history.dropna(subset=["val_iou"])
        right.plot(validated["epoch"], validated["val_iou"], color=colour, marker=".")
    left.set(title="training loss", xlabel="epoch")
    right.set(title="validation IoU", xlabel="epoch", ylim=(0, 1))
    left.legend(fontsize=7)
    return figure


def examples_figure(examples: Mapping[str, Any]) -> Figure:
    """Test images from worst to best: image, mask, scores, and errors in colour."""
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
        axes[row][0].set_ylabel(f"{id_}\nIoU {examples['iou'][row]:.2f}", fontsize=7)
    return figure
