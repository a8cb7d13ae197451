"""One table object, rendered as CSV, Markdown and LaTeX: the same cells everywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.reporting.statistics import Estimate

# metric → (title, factor, digits)
COLUMNS: dict[str, tuple[str, float, int]] = {
    "iou": ("IoU (%)", 100, 2),
    "niou": ("nIoU (%)", 100, 2),
    "f1": ("F1 (%)", 100, 2),
    "pd": ("Pd (%)", 100, 2),
    "fa": ("Fa (1e-6)", 1e6, 2),
    "alarms_per_image": ("alarms/image", 1, 3),
}


HIERARCHICAL_COLUMNS: dict[str, tuple[str, float, int]] = {
    "hiou": ("hIoU (%)", 100, 2),
    "seg_iou": ("segmentation IoU (%)", 100, 2),
    "loc_iou": ("location IoU (%)", 100, 2),
    "lost_to_misses": ("lost to misses (%)", 100, 2),
    "lost_to_alarms": ("to alarms (%)", 100, 2),
    "lost_to_merging": ("to merging (%)", 100, 2),
    "lost_to_splitting": ("to splitting (%)", 100, 2),
    "lost_to_shape": ("to shape (%)", 100, 2),
}
_ALL = COLUMNS | HIERARCHICAL_COLUMNS


Numbers = dict[str, Any]
"""The numbers behind the cells of a line: column → number or name."""


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
    values: Sequence[Numbers]

    @property
    def frame(self) -> pd.DataFrame:
        """The cells as printed."""
        return pd.DataFrame(self.rows)

    @property
    def markdown(self) -> str:
        """Title, cells and note."""
        text = self.frame.to_markdown(index=False, disable_numparse=True)
        return f"{self.title}\n\n{text}\n\n{self.note}\n"

    def write(self, folder: Path) -> None:
        """Write ``<name>.csv`` (numbers), ``.md`` and ``.tex`` (cells)."""
        folder.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(self.values).to_csv(folder / f"{self.name}.csv", index=False, float_format="%.6g")
        (folder / f"{self.name}.md").write_text(self.markdown, encoding="utf-8")
        style = self.frame.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
        tex = style.to_latex(hrules=True, caption=_escape(f"{self.title}. {self.note}"), label=f"tab:{self.name}")
        for character, command in LATEX.items():
            tex = tex.replace(character, command)
        (folder / f"{self.name}.tex").write_text(tex, encoding="utf-8")


LATEX = {
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "Δ": r"$\Delta$",
    "<": "$<$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "·": r"$\cdot$",
}


def _escape(text: str) -> str:
    for character in "%_&#":
        text = text.replace(character, "\\" + character)
    return text


def cell(estimate: Estimate, metric: str) -> str:
    """``mean ± half width over seeds [interval over images]``; what no claim can be made of is left out."""
    _, factor, digits = _ALL[metric]
    text = f"{estimate.mean * factor:.{digits}f}"
    if not isnan(estimate.half_width):
        text += f" ± {estimate.half_width * factor:.{digits}f}"
    if not isnan(estimate.low):
        text += f" [{estimate.low * factor:.{digits}f}, {estimate.high * factor:.{digits}f}]"
    return text


def cell_of(values: Numbers, metric: str) -> str:
    """The cell of a metric from the numbers of its row."""
    names = (metric, f"{metric}_seed_half_width", f"{metric}_image_low", f"{metric}_image_high")
    mean, half_width, low, high = (values[name] for name in names)
    return cell(Estimate(mean, 0, half_width, low, high), metric)


def cells(found: Mapping[str, Estimate]) -> dict[str, str]:
    """Printed estimates by column title."""
    return {_ALL[metric][0]: cell(estimate, metric) for metric, estimate in found.items()}


def numbers(found: Mapping[str, Estimate]) -> Numbers:
    """Estimates and their intervals by name, for CSV."""
    values: Numbers = {}
    for metric, estimate in found.items():
        values |= {
            metric: estimate.mean,
            f"{metric}_seed_half_width": estimate.half_width,
            f"{metric}_image_low": estimate.low,
            f"{metric}_image_high": estimate.high,
        }
    return values


def p_cell(p: float) -> str:
    """A p value for people.

    >>> p_cell(0.0341), p_cell(0.0006), p_cell(float('nan'))
    ('0.034', '<0.001', '')
    """
    return "" if isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"
