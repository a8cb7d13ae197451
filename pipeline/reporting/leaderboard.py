"""Networks in one table for each test part: results, places, what each costs, and what tuning brought it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from datransnet.errors import DataError
from pipeline.reporting.claims import LEAST_TRAININGS, difference
from pipeline.reporting.names import network_title
from pipeline.reporting.ranking import RULE, Place, place_cell, places
from pipeline.reporting.result_tables import change_cell, counts_of
from pipeline.reporting.statistics import Counted, estimates, gather
from pipeline.reporting.table import COLUMNS, Numbers, Table, cell, cells, numbers
from pipeline.scoring.costs import Costs
from pipeline.scoring.evaluation import ScoredRun, StudyEvaluation
from pipeline.study.handover import Searches, Tuned


@dataclass(frozen=True)
class Finished:
    """What a finished study has to say.

    Attributes:
        name: of the study.
        evaluation: of its runs.
        costs: of its networks.
        searches: how its winners were found.
    """

    name: str
    evaluation: StudyEvaluation
    costs: Costs
    searches: Searches


@dataclass(frozen=True)
class Price:
    """What a network or method takes.

    Attributes:
        latency: milliseconds for an image of ``size``.
        size: height and width of that image, in pixels.
        device: on which the latency was measured, with threads.
        parameters: of a network, as all of what follows; None of a method.
        multiply_adds: for that image.
        training: mean hours of a training; None where no record says, as of the search.
        search: hours that all trials of the search were trained.
        search_epochs: that they were trained.
    """

    latency: float
    size: int
    device: str
    parameters: int | None = None
    multiply_adds: float | None = None
    training: float | None = None
    search: float | None = None
    search_epochs: int | None = None


@dataclass(frozen=True)
class Entry:
    """A line on one dataset: the winner of a network's search with its trainings, a method, or a peer's score maps.

    Attributes:
        title: what it is called.
        name: of the network in its study, or of the method or peer.
        study: that it is from.
        mark: of the protocol that chose its epochs; a peer's is not known.
        counts: of each training, image by image.
        untuned: the same of the network without what its search has found; empty where it was not trained so.
        tuned: its search, None of a method or peer.
        price: what it takes, None of a peer.
        place: among the others on this dataset.
        before: titles of those that it surely is before.
    """

    title: str
    name: str
    study: str
    mark: str
    counts: list[Counted]
    untuned: list[Counted]
    tuned: Tuned | None
    price: Price | None
    place: Place = field(default_factory=lambda: Place(0, 0, 0))
    before: tuple[str, ...] = ()


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
    entries = _told_apart([entry for study in studies for entry in _entries(study, common[0])])
    ranked = places([gather(_repeated(entry), "iou") for entry in entries])
    placed = [
        replace(entry, place=place, before=tuple(entries[index].title for index in place.before))
        for entry, place in zip(entries, ranked, strict=True)
    ]
    return Board(part, common[0], sorted(placed, key=lambda entry: entry.place.place))


def _told_apart(entries: Sequence[Entry]) -> list[Entry]:
    """The lines; those of one title with the least that tells them apart: name, study, or both."""
    named = []
    for entry in entries:
        alike = [other for other in entries if other.title == entry.title]
        ways = ([each.name for each in alike], [each.study for each in alike])
        more = next(
            (way for way in ways if len(set(way)) == len(alike)), [f"{each.study}: {each.name}" for each in alike]
        )
        told = f"{entry.title} ({more[alike.index(entry)]})"
        named.append(replace(entry, title=told) if len(alike) > 1 else entry)
    return named


def _repeated(entry: Entry) -> list[Counted]:
    """The counts of a line's trainings; a classical method's as often as it takes, for it always gives the same."""
    classical = entry.tuned is None and entry.price is not None
    return entry.counts * LEAST_TRAININGS if classical else entry.counts


def _entries(study: Finished, convention: str) -> list[Entry]:
    evaluation = study.evaluation
    mark, untuned, costs = evaluation.rules.mark, evaluation.untuned, study.costs
    found = [
        Entry(
            network_title(runs[0].model),
            name,
            study.name,
            mark,
            list(counts_of(runs, convention)),
            list(counts_of(untuned.get(name, []), convention)),
            study.searches.networks[name],
            _price(name, runs, costs, study.searches.networks[name]),
        )
        for name, runs in evaluation.networks.items()
    ]
    for peer in evaluation.peers:
        timed = costs.methods.get(peer.variant)
        price = Price(timed.latency, timed.size, _told(timed.device, timed.threads)) if timed else None
        found.append(Entry(peer.variant, peer.variant, study.name, "", [peer.counts[convention]], [], None, price))
    return found


def _price(name: str, runs: Sequence[ScoredRun], costs: Costs, tuned: Tuned) -> Price:
    found = [costs.runs[run.key] for run in runs]
    first, trained = found[0], [cost.training for cost in found if cost.training is not None]
    search = costs.searches.get(name)
    return Price(
        latency=first.latency,
        size=first.size,
        device=_told(first.device, first.threads),
        parameters=first.parameters,
        multiply_adds=first.operations / 2,
        training=fmean(trained) / 3600 if trained else None,
        search=None if search is None else search / 3600,
        search_epochs=sum(trial.epochs for trial in tuned.trials),
    )


def _told(device: str, threads: int) -> str:
    return f"{device}, {threads} thread(s)"


def leaderboard_tables(found: Sequence[Board]) -> list[Table]:
    """All datasets in one table where there are several, and tables for each: the lines, and which to take."""
    tables = [_across(found)] if len(found) > 1 else []
    for number, board in enumerate(found, 1):
        tables += [board_table(board, f"leaderboard_{number}"), choice_table(board, f"choice_{number}")]
    return tables


RATES = (1, 3, 10, 30, 100, 300)
"""Images a second that somebody may want."""


def choice_table(board: Board, name: str) -> Table:
    """Which line to take for so many images a second, one after another."""
    rows, values = [], []
    for rate in RATES:
        quick = [entry for entry in board.entries if entry.price and entry.price.latency <= 1000 / rate]
        if not quick:
            break
        best = quick[0]
        open_ = [entry.title for entry in quick[1:] if entry.title not in best.before]
        iou = estimates(best.counts, ["iou"])["iou"]
        rows.append(
            {
                "images a second": str(rate),
                "take": best.title,
                "IoU (%)": cell(iou, "iou"),
                "latency (ms)": f"{best.price.latency:.1f}" if best.price else "",
                "as good for all that is known": ", ".join(open_),
            }
        )
        values.append({"rate": rate, "take": best.title, "iou": iou.mean, "open": "; ".join(open_)})
    note = (
        f"The highest mean IoU (convention {board.convention}) of those that are quick enough on {_where(board)}; "
        "other images and machines take other times."
    )
    return Table(name, f"Which to take, {board.dataset}", note, rows, values)


def _where(board: Board) -> str:
    """What latencies were measured on."""
    return "; ".join(sorted({f"{price.size}² on {price.device}" for entry in board.entries if (price := entry.price)}))


def _named(entry: Entry, board: Board) -> str:
    """Those that an entry surely is before."""
    if len(entry.before) == len(board.entries) - 1 > 1:
        return "all others"
    return ", ".join(entry.before)


def board_table(board: Board, name: str) -> Table:
    """The lines on one test part."""
    rows, values = [], []
    untuned = any(entry.untuned for entry in board.entries)
    for entry in board.entries:
        estimated, price = estimates(entry.counts, list(COLUMNS)), entry.price
        row = {"network": f"{entry.title} {entry.mark}".strip(), "place": place_cell(entry.place)}
        row |= {"surely before": _named(entry, board), "seeds": str(len(entry.counts)), **cells(estimated)}
        line: Numbers = {"network": entry.title, "study": entry.study, "seeds": len(entry.counts)}
        line |= {"place": entry.place.place, "place_best": entry.place.best, "place_worst": entry.place.worst}
        if untuned:
            change = difference(gather(entry.untuned, "iou"), gather(entry.counts, "iou")) if entry.untuned else None
            row["ΔIoU by tuning"] = change_cell(change) if change else ""
            if change:
                line |= {"tuning_gain": change.change, "tuning_low": change.low, "tuning_high": change.high}
        rows.append(row | _price_cells(price))
        values.append(line | ({} if price is None else vars(price)) | numbers(estimated))
    note = (
        f"Convention {board.convention}; mean over seeds ± half width of the t interval over seeds [bootstrap interval "
        f"over images], 95 %. {RULE} Latency: one image of {_where(board)}. Training: one, as it ran, with "
        "whatever ran beside it. Search: all trials, as they were trained."
    )
    if untuned:
        note += (
            " ΔIoU by tuning: against the same network as it was given, without what its search has found [95 % "
            "interval over seeds and images at once]."
        )
    return Table(name, f"Test part of {board.dataset}", note, rows, values)


def _price_cells(price: Price | None) -> dict[str, str]:
    def shown(value: float | None, form: str) -> str:
        return "" if value is None else form.format(value)

    if price is None:
        price = Price(float("nan"), 0, "")
    giga = None if price.multiply_adds is None else price.multiply_adds / 1e9
    return {
        "parameters": shown(price.parameters, "{:,}"),
        "multiply-adds (G)": shown(giga, "{:.3f}"),
        "latency (ms)": "" if price.latency != price.latency else shown(price.latency, "{:.1f}"),
        "training (h)": shown(price.training, "{:.3g}"),
        "search (h)": shown(price.search, "{:.3g}"),
        "search (epochs)": shown(price.search_epochs, "{}"),
    }


def _across(found: Sequence[Board]) -> Table:
    """IoU and place on every dataset, by the mean of the places."""
    lines: dict[str, dict[str, str]] = {}
    values: dict[str, Numbers] = {}
    for board in found:
        for entry in board.entries:
            name = entry.title
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
