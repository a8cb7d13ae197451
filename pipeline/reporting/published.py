"""Published numbers beside ours: only where dataset, split and convention are the same, else apart, with the reason."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from pipeline.reporting.table import COLUMNS, Table

METRICS = ("iou", "niou", "f1", "pd", "fa")
CAUTION = (
    "Numbers of others are as published, not measured here. Between published tables the same network differs by 3 to "
    "14 points of IoU, choosing the epoch on the test part is worth 0.6 to 2.2, and training again 0.5 to 1."
)


def published() -> list[dict[str, Any]]:
    """The entries of ``references.yaml``; IoU, nIoU, F1 and Pd in %, Fa in 1e-6 of pixels, None where not published."""
    content: list[dict[str, Any]] = yaml.safe_load(
        files("pipeline.reporting").joinpath("references.yaml").read_text(encoding="utf-8")
    )
    return content


def reference_tables(evaluation: Mapping[str, Any], main: Table) -> list[Table]:
    """A table of what may stand beside our numbers, and one of what may not; either only where it has lines."""
    dataset, conventions = evaluation["dataset"], [row["convention"] for row in main.values]
    same: list[dict[str, Any]] = []
    apart: list[dict[str, Any]] = []
    for entry in published():
        if entry["dataset"] != dataset["name"]:
            continue
        reasons = []
        if entry["split"] != dataset["split"]:
            reasons.append(f"split {entry['split']}" if entry["split"] else "split not stated")
        if entry["convention"] not in conventions:
            reasons.append("convention not known")
        (apart if reasons else same).append({**entry, "why not": "; ".join(reasons)})
    tables = []
    if same:
        ours = [_ours(row, evaluation["protocol"]) for row in main.values if row["model"] == "DATransNet"]
        rows = [*ours, *(_row(entry) for entry in same)]
        title = f"Published numbers on {dataset['name']} {dataset['split']}"
        tables.append(Table("references", title, f"{CAUTION}{_other_images(dataset)}", rows, same))
    if apart:
        rows = [{**_row(entry), "why not": entry["why not"]} for entry in apart]
        title = f"Published numbers on {dataset['name']} that may not stand beside ours"
        tables.append(Table("references_apart", title, CAUTION, rows, apart))
    return tables


def _other_images(dataset: Mapping[str, Any]) -> str:
    """What sets our test part apart from the published one, or nothing."""
    told = [f"{id_} ({how})" for id_, how in (dataset["excluded"] | dataset["treated"]).items()]
    return f" Ours are not on the same images to the last: {', '.join(told)}." if told else ""


def _row(entry: Mapping[str, Any]) -> dict[str, str]:
    dagger = {"test": " †", "last": "", None: " (selection not stated)"}[entry["selection"]]
    row = {"method": f"{entry['method']}{dagger}", "convention": entry["convention"] or "not known"}
    row |= {COLUMNS[name][0]: "" if entry[name] is None else f"{entry[name]:.2f}" for name in METRICS}
    return row | {"source": entry["source"]}


def _ours(values: Mapping[str, Any], protocol: str) -> dict[str, str]:
    dagger = " †" if protocol == "literature" else ""
    row = {"method": f"DATransNet, this study{dagger}", "convention": str(values["convention"])}
    row |= {COLUMNS[name][0]: f"{values[name] * COLUMNS[name][1]:.2f}" for name in METRICS}
    return row | {"source": "this report"}
