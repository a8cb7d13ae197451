"""Draw the test IoU of `make repro PROFILE=authors`, epoch by epoch, beside what the authors' release logs.

Run it at any time: it reads the records of the runs, also of those that have not ended. Writes docs/results/.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from datransnet.atomic import write_text
from pipeline.runs.plan import seeds_of
from pipeline.runs.record import Record, RunFolder
from pipeline.study.study import Study

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "results"
AUTHORS = {1: 0.0094, 3: 0.402, 5: 0.632, 7: 0.791, 9: 0.817, 12: 0.841, 16: 0.849}
"""Epoch → IoU on the test part of NUDT-SIRST, from the log of the release (2025-02-16)."""
SECOND_START = {1: 0.0718}
"""The same of a second start in that log, of which it holds one epoch."""


@dataclass(frozen=True)
class Point:
    """One epoch of one seed."""

    seed: int
    epoch: int
    iou: float


def points(study: Study) -> tuple[list[Point], list[Record]]:
    """Every epoch so far, and the records that they are from."""
    params = study.params
    found, records = list[Point](), list[Record]()
    for number, run in enumerate(seeds_of(study, params.model.arguments(), params.recipe, params.train.seeds), start=1):
        record = RunFolder(study.runs, run.key).read()
        if record and record.history:
            records.append(record)
            found += [Point(number, int(epoch["epoch"]), epoch["val_iou"]) for epoch in record.history]
    return found, records


def draw(found: list[Point]) -> None:
    """Both curves in one figure."""
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    axes.plot(list(AUTHORS), list(AUTHORS.values()), "ks--", label="authors' log", markersize=5)
    axes.plot(list(SECOND_START), list(SECOND_START.values()), "k^", label="authors' log, second start")
    for seed, frame in pd.DataFrame(map(asdict, found)).groupby("seed"):
        axes.plot(frame["epoch"], frame["iou"], "o-", label=f"ours, seed {seed}", markersize=4)
    axes.set(xlabel="epoch", ylabel="IoU on the test part", ylim=(0, 1), title="NUDT-SIRST 50_50, full width, 256²")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(OUT / "authors-curve.svg", metadata={"Date": None})


def page(found: list[Point], records: list[Record]) -> str:
    """The table, with where and how it was measured."""
    ours = pd.DataFrame(map(asdict, found)).pivot_table(index="epoch", columns="seed", values="iou")
    rows = pd.DataFrame({"authors' log": pd.Series(AUTHORS)}).join(ours.add_prefix("ours, seed "), how="outer")
    rows.index.name = "epoch"
    told = rows.map(lambda value: "" if pd.isna(value) else f"{value:.4f}").reset_index()
    machines = {", ".join(f"{key} {text}" for key, text in each.environment.items()) for each in records}
    seeds = ", ".join(str(each.run.seed) for each in records)
    commits = ", ".join(sorted({each.git for each in records}))
    return "\n\n".join(
        [
            "# The authors' learning curve",
            "Test IoU on NUDT-SIRST `50_50` † (the test part, epoch by epoch, as the release's script logs it): full "
            "width, 256², batches of 4, Adam 5e-4, soft IoU. A second start in the authors' log has "
            f"{SECOND_START[1]} at epoch 1. Ours: `make repro PROFILE=authors`, then `python docs/authors_curve.py`.",
            told.to_markdown(index=False, disable_numparse=True),
            "![Both curves](authors-curve.svg)",
            f"Seeds {seeds}; commit {commits}; {'; '.join(sorted(machines))}.\n",
        ]
    )


if __name__ == "__main__":
    study = Study(ROOT / "studies" / "authors")
    found, records = points(study)
    OUT.mkdir(exist_ok=True)
    draw(found)
    write_text(OUT / "authors-curve.md", page(found, records))
    print(f"{len(found)} epochs of {len(records)} seeds are drawn in {OUT.relative_to(ROOT)}")
