"""One table object, rendered as CSV, Markdown and LaTeX: the same cells everywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.support.statistics import Estimate, estimates, proportion

# metric → (title, factor, digits)
COLUMNS: dict[str, tuple[str, float, int]] = {
    "iou": ("IoU (%)", 100, 2),
    "niou": ("nIoU (%)", 100, 2),
    "f1": ("F1 (%)", 100, 2),
    "pd": ("Pd (%)", 100, 2),
    "fa": ("Fa (1e-6)", 1e6, 2),
}


@dataclass(frozen=True)
class Table:
    """A titled table.

    Attributes:
        name: of its files.
        title: one line for people.
        note: what a reader must know to read it.
        rows: cells as printed, column → cell.
        values: the numbers behind the cells, for CSV.
    """

    name: str
    title: str
    note: str
    rows: list[dict[str, str]]
    values: list[dict[str, Any]]

    @property
    def frame(self) -> pd.DataFrame:
        """The cells as printed."""
        return pd.DataFrame(self.rows)

    def write(self, folder: Path) -> None:
        """Write ``<name>.csv`` (numbers), ``.md`` and ``.tex`` (cells)."""
        folder.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(self.values).to_csv(folder / f"{self.name}.csv", index=False, float_format="%.6g")
        text = self.frame.to_markdown(index=False, disable_numparse=True)
        (folder / f"{self.name}.md").write_text(f"{self.title}\n\n{text}\n\n{self.note}\n")
        latex = self.frame.style.hide(axis="index").format(escape="latex")
        tex = latex.to_latex(hrules=True, caption=_escape(f"{self.title}. {self.note}"), label=f"tab:{self.name}")
        (folder / f"{self.name}.tex").write_text(tex.replace("±", r"$\pm$").replace("†", r"$^\dagger$"))


def _escape(text: str) -> str:
    for character in "%_&#":
        text = text.replace(character, "\\" + character)
    return text


def cell(estimate: Estimate, metric: str) -> str:
    """``mean ± half width`` over seeds, or the mean alone for one seed."""
    _, factor, digits = COLUMNS[metric]
    mean = f"{estimate.mean * factor:.{digits}f}"
    return mean if estimate.half_width != estimate.half_width else f"{mean} ± {estimate.half_width * factor:.{digits}f}"


def _values(found: Mapping[str, Estimate]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for metric, estimate in found.items():
        values |= {
            metric: estimate.mean,
            f"{metric}_seed_half_width": estimate.half_width,
            f"{metric}_image_low": estimate.low,
            f"{metric}_image_high": estimate.high,
        }
    return values


def _image_interval(estimate: Estimate, metric: str) -> str:
    _, factor, digits = COLUMNS[metric]
    return f"[{estimate.low * factor:.{digits}f}, {estimate.high * factor:.{digits}f}]"


def main_table(evaluation: Mapping[str, Any]) -> Table:
    """The winner under each convention."""
    full = [run for run in evaluation["runs"] if run["variant"] == "full"]
    dagger = "†" if evaluation["protocol"] == "literature" else ""
    rows, values = [], []
    for convention in full[0]["counts"]:
        found = estimates([run["counts"][convention] for run in full], list(COLUMNS))
        row = {"convention": convention + dagger, "seeds": str(len(full))}
        row |= {COLUMNS[metric][0]: cell(estimate, metric) for metric, estimate in found.items()}
        row["IoU over images (%)"] = _image_interval(found["iou"], "iou")
        rows.append(row)
        values.append({"convention": convention, "seeds": len(full), **_values(found)})
    dataset = evaluation["dataset"]
    title = f"DATransNet on {dataset['name']} {dataset['split']}, test part"
    return Table("main", title, _note(evaluation), rows, values)


def ablation_table(evaluation: Mapping[str, Any]) -> Table:
    """Each variant beside the full network, on the seeds they share, under the first convention."""
    variants = list(dict.fromkeys(run["variant"] for run in evaluation["runs"]))
    shared = min(sum(run["variant"] == name for run in evaluation["runs"]) for name in variants)
    convention = next(iter(evaluation["runs"][0]["counts"]))
    reference: list[float] = []
    rows, values = [], []
    for name in variants:
        runs = [run for run in evaluation["runs"] if run["variant"] == name][:shared]
        found = estimates([run["counts"][convention] for run in runs], list(COLUMNS))
        iou = [run["scores"][convention]["iou"] for run in runs]
        reference = reference or iou
        change = sum(b - a for a, b in zip(reference, iou, strict=True)) / shared
        row = {"variant": name, "parameters": f"{runs[0]['parameters']:,}"}
        row |= {COLUMNS[metric][0]: cell(estimate, metric) for metric, estimate in found.items()}
        row["ΔIoU"] = "" if name == variants[0] else f"{100 * change:+.2f}"
        rows.append(row)
        values.append(
            {
                "variant": name,
                "parameters": runs[0]["parameters"],
                "seeds": shared,
                **_values(found),
                "iou_change": change,
            }
        )
    return Table("ablation", f"Variants, convention {convention}, {shared} seed(s)", _note(evaluation), rows, values)


def search_table(tuned: Mapping[str, Any], top: int = 10) -> Table:
    """The best trials of the search, by validation IoU."""
    trials: Sequence[Mapping[str, Any]] = sorted(tuned["trials"], key=lambda trial: -trial["best_iou"])[:top]
    rows = [
        {
            "trial": str(trial["number"]),
            "state": trial["status"],
            "epochs": str(trial["epochs"]),
            "validation IoU (%)": f"{100 * trial['best_iou']:.2f}",
        }
        | {key: f"{value:.3g}" if isinstance(value, float) else str(value) for key, value in trial["point"].items()}
        for trial in trials
    ]
    values = [
        {key: trial[key] for key in ("number", "status", "epochs", "best_iou")} | trial["point"] for trial in trials
    ]
    counts = f"{len(tuned['trials'])} trials, {sum(trial['epochs'] for trial in tuned['trials'])} epochs in all"
    return Table("search", "Search, best trials", f"{counts}; chosen by validation IoU only.", rows, values)


SCR_EDGES = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0, 20.0, float("inf"))
"""Between two of these targets count as equally hard to see; a target below its background counts into the first."""


def detection_limit(targets: pd.DataFrame) -> pd.DataFrame:
    """Share of detected targets by SCR and size, each target once with its mean over runs.

    Columns: size (``small`` up to the median of pixels, ``large`` above), low and high (of the SCR), number, pd,
    pd_low, pd_high (Wilson's interval).
    """
    once = targets.groupby(["id", "row", "column"], as_index=False)[["pixels", "scr", "detected"]].mean()
    median = once["pixels"].median()
    found = []
    for size, part in (("small", once[once["pixels"] <= median]), ("large", once[once["pixels"] > median])):
        for low, high in pairwise(SCR_EDGES):
            inside = part[part["scr"].clip(lower=0).between(low, high, inclusive="left")]["detected"]
            if len(inside):
                ends = proportion(float(inside.sum()), len(inside))
                shares = {"pd": float(inside.mean()), "pd_low": ends[0], "pd_high": ends[1]}
                found.append({"size": size, "low": low, "high": high, "number": len(inside), **shares})
    return pd.DataFrame(found, columns=["size", "low", "high", "number", "pd", "pd_low", "pd_high"])


def limit_table(limit: pd.DataFrame, median: float) -> Table:
    """Detection probability by local SCR and target size."""
    rows = [
        {
            "size": str(row["size"]),
            "local SCR": f"{row['low']:g} to {row['high']:g}".replace("to inf", "and more"),
            "targets": str(row["number"]),
            "Pd (%)": f"{100 * row['pd']:.1f}",
            "interval (%)": f"[{100 * row['pd_low']:.1f}, {100 * row['pd_high']:.1f}]",
        }
        for row in limit.to_dict("records")
    ]
    note = (
        f"Small: up to {median:g} pixels, the median of the test part. Local SCR: brightest pixel minus mean of the "
        "background, over its standard deviation. Mean over seeds; 95 % Wilson interval over targets."
    )
    values = [{str(key): value for key, value in row.items()} for row in limit.to_dict("records")]
    return Table("detection_limit", "Detection limit", note, rows, values)


def _note(evaluation: Mapping[str, Any]) -> str:
    """What every table of results says of its protocol."""
    dataset = evaluation["dataset"]
    test = dataset["summary"]["test"]
    note = (
        f"{test['images']} test images with {test['targets']} targets; mean ± half width of the 95 % t interval over "
        "seeds, interval over images by bootstrap; "
    )
    literature = evaluation["protocol"] == "literature"
    note += "† epoch selected on the test part" if literature else "epoch selected on the validation part"
    if dataset["excluded"]:
        note += "; left out: " + ", ".join(f"{id_} ({why})" for id_, why in dataset["excluded"].items())
    if dataset["treated"]:
        note += "; treated: " + ", ".join(f"{id_} ({how})" for id_, how in dataset["treated"].items())
    return note + "."
