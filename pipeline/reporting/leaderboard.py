"""Boards as tables: a line a network, its results and its place, what it costs, and which to take."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean

from pipeline.reporting.board import Board, Entry, Price
from pipeline.reporting.claims import difference
from pipeline.reporting.published import published_beside
from pipeline.reporting.ranking import RULE, place_cell
from pipeline.reporting.result_tables import change_cell
from pipeline.reporting.statistics import estimates, gather
from pipeline.reporting.table import COLUMNS, Numbers, Table, cell, cells, numbers
from pipeline.scoring.submitted import MARKS


def leaderboard_tables(found: Sequence[Board]) -> list[Table]:
    """All datasets in one table where there are several, and tables for each: the lines, and which to take."""
    tables = [_across(found)] if len(found) > 1 else []
    for number, board in enumerate(found, 1):
        tables += [board_table(board, f"leaderboard_{number}"), choice_table(board, f"choice_{number}")]
        if (printed := published_beside(board.data, board.convention, f"published_{number}")) is not None:
            tables.append(printed)
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
        open_ = [entry.marked for entry in quick[1:] if entry.title not in best.before]
        iou = estimates(best.counts, ["iou"])["iou"]
        rows.append(
            {
                "images a second": str(rate),
                "take": best.marked,
                "IoU (%)": cell(iou, "iou"),
                "latency (ms)": f"{best.price.latency:.1f}" if best.price else "",
                "not surely worse": ", ".join(open_),
            }
        )
        values.append({"rate": rate, "take": best.title, "iou": iou.mean, "open": "; ".join(open_)})
    note = (
        f"The highest mean IoU (convention {board.convention}) of those that are quick enough on {_where(board)}; "
        "other images and machines take other times. Beside it those that are quick enough, too, and that it is not "
        f"surely before.{_marks(board.entries)}{_blind(board.entries)}"
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
        row = {"network": entry.marked, "place": place_cell(entry.place)}
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
        f"{len(board.entries[0].counts[0]['union'])} test images. Convention {board.convention}; mean over seeds "
        f"± half width of the t interval over seeds [bootstrap interval over images], 95 %. {RULE} "
        f"Latency: one image of {_where(board)}. Training: one, as it ran, with "
        "whatever ran beside it. Search: all trials, as they were trained. A line without parameters is a method "
        "without training, with fixed settings, or a submission."
    )
    note += _marks(board.entries) + _blind(board.entries)
    if untuned:
        note += (
            " ΔIoU by tuning: against the same network as it was given, without what its search has found [95 % "
            "interval over seeds and images at once]."
        )
    return Table(name, f"Networks and methods on the test part of {board.dataset}", note, rows, values)


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
    """IoU, place and latency on every dataset, by the mean of the places; networks of one name are one line."""
    lines: dict[str, dict[str, str]] = {}
    values: dict[str, Numbers] = {}
    for board in found:
        for entry in board.entries:
            lines.setdefault(entry.name, {"network": entry.plain})
            values.setdefault(entry.name, {"network": entry.name})
            estimated = estimates(entry.counts, ["iou"])["iou"]
            lines[entry.name][f"IoU (%), {board.dataset}"] = f"{cell(estimated, 'iou')} {entry.mark}".strip()
            lines[entry.name][f"place, {board.dataset}"] = place_cell(entry.place)
            if entry.price:
                lines[entry.name][f"latency (ms), {board.dataset}"] = f"{entry.price.latency:.1f}"
                values[entry.name][f"latency, {board.dataset}"] = entry.price.latency
            values[entry.name][f"iou, {board.dataset}"] = estimated.mean
            values[entry.name][f"place, {board.dataset}"] = entry.place.place
    titles = Counter(line["network"] for line in lines.values())
    for name, line in lines.items():
        if titles[line["network"]] > 1:
            line["network"] += f" ({name})"
    columns = [f"{what}, {board.dataset}" for board in found for what in ("IoU (%)", "place", "latency (ms)")]
    order = sorted(lines, key=lambda name: fmean(v for key, v in values[name].items() if key.startswith("place, ")))
    rows = [{"network": lines[name]["network"], **{key: lines[name].get(key, "") for key in columns}} for name in order]
    entries = [entry for board in found for entry in board.entries]
    note = (
        "Sorted by the mean place over the datasets that a network has results on; networks that studies call the same "
        f"are one line. {RULE} Latency: one image of {'; '.join(dict.fromkeys(map(_where, found)))}.{_marks(entries)}"
    )
    return Table("leaderboard", "All datasets", note, rows, [values[name] for name in order])


def _blind(entries: Iterable[Entry]) -> str:
    """Whose search could not tell one trial from another."""
    names = [entry.title for entry in entries if entry.tuned and entry.tuned.blind]
    if not names:
        return ""
    return (
        f" Searched in vain: {', '.join(names)}. No trial found a target on the validation part, so with this "
        "budget the line says nothing of the network at its best."
    )


def _marks(entries: Iterable[Entry]) -> str:
    """What the marks mean that stand beside some entries."""
    marks = {entry.mark for entry in entries}
    told = f" {MARKS['unknown']}: it is not known what its weights were chosen on." if MARKS["unknown"] in marks else ""
    return told + (f" {MARKS['test']}: chosen on the test part." if MARKS["test"] in marks else "")
