"""Published numbers beside ours: only where dataset, split and convention are the same, else apart, with the reason."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import pairwise
from typing import Literal

import yaml
from pydantic import TypeAdapter

from pipeline.reporting.names import winner_name
from pipeline.reporting.planning import spread_in
from pipeline.reporting.power import resolution
from pipeline.reporting.statistics import proportion
from pipeline.reporting.table import COLUMNS, Numbers, Table
from pipeline.scoring.evaluation import Dataset, StudyEvaluation

METRICS = ("iou", "niou", "f1", "pd", "fa")


@dataclass(frozen=True)
class PublishedNumber:
    """A line of ``references.yaml``: what somebody published, and how it was obtained.

    Attributes:
        method: name of the network or method.
        dataset: name of the dataset in the catalogue.
        split: name of the split, None where it is not stated.
        convention: of the metrics, None where it is not known.
        selection: ``last`` epoch, best on the ``test`` part, or None where it is not stated.
        iou: in %, None where it was not published; so are the others.
        niou: in %.
        f1: in %.
        pd: in %.
        fa: in 1e-6 of pixels.
        source: where it stands.
    """

    method: str
    dataset: str
    split: str | None
    convention: str | None
    selection: Literal["last", "test"] | None
    iou: float | None
    niou: float | None
    f1: float | None
    pd: float | None
    fa: float | None
    source: str


CAUTION = (
    "Numbers of others are as published, not measured here. Between published tables the same network differs by 3 to "
    "14 points of IoU, choosing the epoch on the test part is worth 0.6 to 2.2, and training again 0.5 to 1."
)


def published() -> list[PublishedNumber]:
    """The entries of ``references.yaml``."""
    text = files("pipeline.reporting").joinpath("references.yaml").read_text(encoding="utf-8")
    return TypeAdapter(list[PublishedNumber]).validate_python(yaml.safe_load(text))


def reference_tables(evaluation: StudyEvaluation, main: Table) -> list[Table]:
    """A table of what may stand beside our numbers, and one of what may not; either only where it has lines.

    Where the test parts are the same, a published Pd gets its exact binomial interval, and the table says how many of
    the published differences this test part could tell at all.
    """
    dataset, conventions = evaluation.dataset, [row["convention"] for row in main.values]
    same: list[tuple[PublishedNumber, str]] = []
    apart: list[tuple[PublishedNumber, str]] = []
    for entry in published():
        if entry.dataset != dataset.name:
            continue
        reasons = []
        if entry.split != dataset.split:
            reasons.append(f"split {entry.split}" if entry.split else "split not stated")
        if entry.convention not in conventions:
            reasons.append(f"convention {entry.convention}" if entry.convention else "convention not known")
        (apart if reasons else same).append((entry, "; ".join(reasons)))
    tables = []
    if same:
        ours = [_ours(row, evaluation) for row in main.values if row["model"] == winner_name(evaluation)]
        targets = dataset.summary["test"]["targets"]
        rows = [*ours, *(_row(entry, targets) for entry, _ in same)]
        title = f"Published numbers on {dataset.name} {dataset.split}"
        note = f"{CAUTION}{_other_images(dataset)}{_resolved(evaluation, [entry for entry, _ in same])}"
        tables.append(Table("references", title, note, rows, _values(same)))
    if apart:
        rows = [{**_row(entry), "why not": reasons} for entry, reasons in apart]
        title = f"Published numbers on {dataset.name} that may not stand beside ours"
        tables.append(Table("references_apart", title, CAUTION, rows, _values(apart)))
    return tables


def published_beside(dataset: Dataset, convention: str, name: str) -> Table | None:
    """Published numbers of the same dataset, split and convention, for a board; None where there are none."""
    same = [
        entry
        for entry in published()
        if (entry.dataset, entry.split, entry.convention) == (dataset.name, dataset.split, convention)
    ]
    if not same:
        return None
    rows = [_row(entry, dataset.summary["test"]["targets"]) for entry in same]
    title = f"Published numbers on {dataset.name} {dataset.split}, convention {convention}"
    told = "Pd [95 %]: exact binomial interval over the targets. †: best on the test part."
    note = f"{CAUTION}{_other_images(dataset)} {told}"
    return Table(name, title, note, rows, _values([(entry, "") for entry in same]))


def _values(entries: Sequence[tuple[PublishedNumber, str]]) -> list[Numbers]:
    return [{**asdict(entry), "why not": reasons} for entry, reasons in entries]


def _other_images(dataset: Dataset) -> str:
    """What sets our test part apart from the published one, or nothing."""
    told = [f"{id_} ({how})" for id_, how in (dataset.excluded | dataset.treated).items()]
    return f" Ours are not on the same images to the last: {', '.join(told)}." if told else ""


def _resolved(evaluation: StudyEvaluation, entries: Sequence[PublishedNumber]) -> str:
    """How many of the published differences of IoU the test part could tell; nothing where no spread is known."""
    values, spread = sorted(entry.iou for entry in entries if entry.iou is not None), spread_in(evaluation)
    told = " Pd [95 %]: exact binomial interval over the targets."
    if spread is None or len(values) < 2:
        return told
    images = evaluation.dataset.summary["test"]["images"]
    gaps = [above - below for below, above in pairwise(values)]
    at_best, once = (100 * resolution(spread, images, seeds) for seeds in (math.inf, 1))
    few, many = (sum(gap < least for gap in gaps) for least in (at_best, once))
    return told + (
        f" Of the {len(gaps)} gaps between neighbouring published IoUs, {few} are below {at_best:.2f} points, which is "
        f"the least that {images} images tell however often networks are trained, and {many} below {once:.2f}, the "
        "least that they tell of networks trained once (80 % power at 5 %; spread as between the variants of this "
        "study, which are more alike than other networks are)."
    )


def _row(entry: PublishedNumber, targets: int | None = None) -> dict[str, str]:
    dagger = {"test": " †", "last": "", None: " (selection not stated)"}[entry.selection]
    row = {"method": f"{entry.method}{dagger}", "convention": entry.convention or "not known"}
    row |= {COLUMNS[name][0]: "" if (value := getattr(entry, name)) is None else f"{value:.2f}" for name in METRICS}
    if targets and entry.pd is not None:
        low, high = proportion(entry.pd / 100 * targets, targets, "exact")
        row[COLUMNS["pd"][0]] += f" [{100 * low:.1f}, {100 * high:.1f}]"
    return row | {"source": entry.source}


def _ours(values: Numbers, evaluation: StudyEvaluation) -> dict[str, str]:
    name = f"{winner_name(evaluation)}, this study {evaluation.rules.mark}".strip()
    row = {"method": name, "convention": str(values["convention"])}
    row |= {COLUMNS[name][0]: f"{values[name] * COLUMNS[name][1]:.2f}" for name in METRICS}
    return row | {"source": "this report"}
