"""What winners are worth on other studies' test parts: one long table, and a matrix for each thing that is asked."""

from collections.abc import Callable, Sequence
from functools import partial

from pipeline.reporting.operating_table import OF_BUDGET, budget_cell, fate
from pipeline.reporting.statistics import estimates
from pipeline.reporting.table import Numbers, Table, cell, cells, numbers
from pipeline.scoring.transferred import Transfer

METRICS = ("iou", "pd", "fa", "alarms_per_image")


def transfer_tables(found: Sequence[Transfer]) -> list[Table]:
    """The matrices of IoU, and of Pd and what became of each budget; then everything in one table."""
    note = (
        "Line: the study whose winner it is; column: the study whose test part it is scored on, without images that "
        f"the winner has seen, by their pixels ({_left_out(found)}). Mean over seeds ± half width of the t interval "
        "over seeds [bootstrap interval over images]."
    )
    tables = [_matrix(found, "transfer_iou", "IoU (%) at 0.5 across datasets", note, _iou)]
    for place in range(min(len(each.points) for each in found)):
        budget = found[0].points[place][0].budget
        title = f"Pd (%) at the thresholds chosen at home for {budget_cell(budget)}, and what became of it"
        tables.append(_matrix(found, f"transfer_{place + 1}", title, note, partial(_pd, place)))
    return [*tables, _everything(found, note)]


def _matrix(
    found: Sequence[Transfer], name: str, title: str, note: str, shown: Callable[[Transfer], tuple[str, float]]
) -> Table:
    """A line a winner, a column a test part."""
    lines: dict[str, dict[str, str]] = {}
    values: dict[str, Numbers] = {}
    for each in found:
        text, number = shown(each)
        line = f"{each.trained_on} {each.mark}".strip()
        lines.setdefault(each.trained_on, {"trained on": line})[f"on {each.scored_on}"] = text
        values.setdefault(each.trained_on, {"trained on": each.trained_on})[each.scored_on] = number
    return Table(name, title, note, list(lines.values()), list(values.values()))


def _iou(each: Transfer) -> tuple[str, float]:
    found = estimates(each.counts, ["iou"])["iou"]
    return cell(found, "iou"), found.mean


def _pd(place: int, each: Transfer) -> tuple[str, float]:
    points = each.points[place]
    found = estimates([point.counts for point in points], list(METRICS))
    became = fate(points, found[OF_BUDGET[points[0].budget.per]])
    return f"{cell(found['pd'], 'pd')}, {became}", found["pd"].mean


def _everything(found: Sequence[Transfer], note: str) -> Table:
    rows, values = [], []
    for each in found:
        where = {"trained on": f"{each.trained_on} {each.mark}".strip(), "scored on": each.scored_on}
        where |= {"images": str(each.images), "left out": str(each.left_out)}
        at = [("0.5", each.counts, "")]
        for points in each.points:
            counts = [point.counts for point in points]
            limited = estimates(counts, [OF_BUDGET[points[0].budget.per]])
            at.append((budget_cell(points[0].budget), counts, fate(points, *limited.values())))
        for threshold, counts, became in at:
            estimated = estimates(counts, list(METRICS))
            rows.append({**where, "threshold": threshold, **cells(estimated), "budget": became})
            values.append({**where, "threshold": threshold, **numbers(estimated), "budget": became})
    return Table("transfer", "Winners on other studies' test parts", note, rows, values)


def _left_out(found: Sequence[Transfer]) -> str:
    told = [f"{each.left_out} of {each.scored_on} for {each.trained_on}" for each in found if each.left_out]
    return f"left out: {', '.join(told)}" if told else "there are none"
