"""Detection limit: how faint and small a target may be and still be found."""

from itertools import pairwise

import pandas as pd

from pipeline.reporting.statistics import proportion
from pipeline.reporting.table import Table

SCR_EDGES = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0, 20.0, float("inf"))
"""Edges of the classes of local SCR. Targets of one class count as equally hard to see; the first class also holds
targets with a negative SCR, which are darker than their background."""


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
