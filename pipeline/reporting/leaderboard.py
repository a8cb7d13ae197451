"""Finished studies in one table: a line a network, its results on each dataset, its place, and what it costs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from datransnet.errors import DataError
from pipeline.reporting.names import network_title
from pipeline.reporting.ranking import RULE, Place, place_cell, places
from pipeline.reporting.statistics import Counted, estimates, gather
from pipeline.reporting.table import COLUMNS, Numbers, Table, cell, cells, numbers
from pipeline.scoring.costs import Costs
from pipeline.scoring.evaluation import StudyEvaluation
from pipeline.study.handover import Tuned


@dataclass(frozen=True)
class Finished:
    """What a finished study has to say.

    Attributes:
        name: of the study.
        evaluation: of its runs.
        costs: of its networks.
        tuned: how its winner was found.
    """

    name: str
    evaluation: StudyEvaluation
    costs: Costs
    tuned: Tuned


@dataclass(frozen=True)
class Entry:
    """A line on one dataset: a winner with its trainings, or a peer's score maps.

    Attributes:
        network: what it is called.
        study: that it is from.
        mark: of the protocol that chose its epochs; a peer's is not known.
        counts: of each training, image by image.
        place: among the others on this dataset.
        parameters: of the network; None where only score maps are known, as all of what follows.
        multiply_adds: on one image of ``size``.
        latency: milliseconds on such an image.
        size: height and width of that image, in pixels.
        device: on which the latency was measured, with threads.
        training: mean hours of a training.
        search_epochs: that the search trained, all trials together.
    """

    network: str
    study: str
    mark: str
    counts: list[Counted]
    place: Place
    parameters: int | None = None
    multiply_adds: float | None = None
    latency: float | None = None
    size: int | None = None
    device: str = ""
    training: float | None = None
    search_epochs: int | None = None


@dataclass(frozen=True)
class Board:
    """The lines on one test part, the best first."""

    dataset: str
    convention: str
    entries: list[Entry]


def boards(studies: Sequence[Finished]) -> list[Board]:
    """One board for each test part that the studies were scored on.

    Raises:
        DataError: if studies of one dataset and split were scored on other images, or have no convention in common.
    """
    by_part: dict[str, list[Finished]] = {}
    for study in studies:
        dataset = study.evaluation.dataset
        by_part.setdefault(f"{dataset.name} {dataset.split}", []).append(study)
    return [_board(part, found) for part, found in by_part.items()]


def _board(part: str, studies: Sequence[Finished]) -> Board:
    first = studies[0].evaluation
    for study in studies:
        if (study.evaluation.ids, study.evaluation.dataset.digest) != (first.ids, first.dataset.digest):
            raise DataError(
                f"{studies[0].name} and {study.name} are both of {part}, but their parts hold other images (digests "
                f"{first.dataset.digest[:12]} and {study.evaluation.dataset.digest[:12]}). Split both alike, or leave "
                "one out."
            )
    common = [name for name in first.conventions if all(name in each.evaluation.conventions for each in studies)]
    if not common:
        raise DataError(f"The studies of {part} have no convention in common. Name one in evaluate.conventions of all.")
    entries = [entry for study in studies for entry in _entries(study, common[0])]
    known = Counter(entry.network for entry in entries)
    ranked = places([gather(entry.counts, "iou") for entry in entries])
    named = [
        Entry(**{**vars(entry), "network": _told(entry, known), "place": place})
        for entry, place in zip(entries, ranked, strict=True)
    ]
    return Board(part, common[0], sorted(named, key=lambda entry: entry.place.place))


def _told(entry: Entry, known: Counter[str]) -> str:
    """The network's name, with its study where another line has the same."""
    return entry.network if known[entry.network] == 1 else f"{entry.network} ({entry.study})"


def _entries(study: Finished, convention: str) -> list[Entry]:
    evaluation, unknown = study.evaluation, Place(0, 0, 0)
    winners = evaluation.winners
    costs = [study.costs.runs[run.key] for run in winners]
    trained = [cost.training for cost in costs if cost.training is not None]
    own = Entry(
        network_title(winners[0].model),
        study.name,
        evaluation.rules.mark,
        [run.counts[convention] for run in winners],
        unknown,
        costs[0].parameters,
        costs[0].operations / 2,
        costs[0].latency,
        costs[0].size,
        f"{costs[0].device}, {costs[0].threads} thread(s)",
        fmean(trained) / 3600 if trained else None,
        sum(trial.epochs for trial in study.tuned.trials),
    )
    theirs = [Entry(peer.variant, study.name, "", [peer.counts[convention]], unknown) for peer in evaluation.peers]
    return [own, *theirs]


def leaderboard_tables(found: Sequence[Board]) -> list[Table]:
    """All datasets in one table where there are several, and a table for each."""
    tables = [_board_table(board, number) for number, board in enumerate(found, 1)]
    return [_across(found), *tables] if len(found) > 1 else tables


def _board_table(board: Board, number: int) -> Table:
    rows, values = [], []
    for entry in board.entries:
        estimated = estimates(entry.counts, list(COLUMNS))
        row = {"network": f"{entry.network} {entry.mark}".strip(), "place": place_cell(entry.place)}
        row |= {"seeds": str(len(entry.counts)), **cells(estimated)}
        rows.append(
            row
            | {
                "parameters": "" if entry.parameters is None else f"{entry.parameters:,}",
                "multiply-adds (G)": "" if entry.multiply_adds is None else f"{entry.multiply_adds / 1e9:.3f}",
                "latency (ms)": "" if entry.latency is None else f"{entry.latency:.1f}",
                "training (h)": "" if entry.training is None else f"{entry.training:.3g}",
                "search (epochs)": "" if entry.search_epochs is None else str(entry.search_epochs),
            }
        )
        line: Numbers = {"network": entry.network, "study": entry.study, "seeds": len(entry.counts)}
        line |= {"place": entry.place.place, "place_best": entry.place.best, "place_worst": entry.place.worst}
        line |= {"parameters": entry.parameters, "multiply_adds": entry.multiply_adds, "latency_ms": entry.latency}
        values.append(line | {"training_h": entry.training, "search_epochs": entry.search_epochs, **numbers(estimated)})
    measured = sorted({f"{entry.size}² on {entry.device}" for entry in board.entries if entry.size is not None})
    note = (
        f"Convention {board.convention}; mean over seeds ± half width of the t interval over seeds [bootstrap interval "
        f"over images], 95 %. {RULE} Latency: one image of {'; of '.join(measured)}. Training: one, as it ran, with "
        "whatever ran beside it. Search: epochs that all trials were trained."
    )
    return Table(f"leaderboard_{number}", f"Test part of {board.dataset}", note, rows, values)


def _across(found: Sequence[Board]) -> Table:
    """IoU and place on every dataset, by the mean of the places."""
    lines: dict[str, dict[str, str]] = {}
    values: dict[str, Numbers] = {}
    for board in found:
        for entry in board.entries:
            name = entry.network
            lines.setdefault(name, {"network": f"{name} {entry.mark}".strip()})
            values.setdefault(name, {"network": name})
            estimated = estimates(entry.counts, ["iou"])["iou"]
            lines[name][f"IoU (%), {board.dataset}"] = cell(estimated, "iou")
            lines[name][f"place, {board.dataset}"] = place_cell(entry.place)
            values[name][f"iou, {board.dataset}"] = estimated.mean
            values[name][f"place, {board.dataset}"] = entry.place.place
    columns = [f"{what}, {board.dataset}" for board in found for what in ("IoU (%)", "place")]
    order = sorted(lines, key=lambda name: fmean(v for key, v in values[name].items() if key.startswith("place, ")))
    rows = [{"network": lines[name]["network"], **{key: lines[name].get(key, "") for key in columns}} for name in order]
    note = f"Sorted by the mean place over the datasets that a network has results on. {RULE}"
    return Table("leaderboard", "All datasets", note, rows, [values[name] for name in order])
