"""Operating points: what budgets of false alarms leave of Pd, and whether the test part keeps them."""

import math
from collections.abc import Sequence

from datransnet.metrics import Budget
from pipeline.reporting.result_tables import counts_of
from pipeline.reporting.statistics import Estimate, estimates
from pipeline.reporting.table import COLUMNS, Numbers, Table, cells, numbers
from pipeline.scoring.evaluation import OperatingPoint, StudyEvaluation

METRICS = ("pd", "fa", "alarms_per_image", "iou")
OF_BUDGET = {"pixel": "fa", "image": "alarms_per_image"}
"""What a budget is of → the metric that it limits."""


def operating_table(evaluation: StudyEvaluation) -> Table:
    """The winner at 0.5 and at the thresholds chosen for each budget, under the first convention."""
    full, convention = evaluation.winners, evaluation.conventions[0]
    usual = estimates(counts_of(full, convention), METRICS)
    rows = [{"budget": "", "kept on average or surely": "", "threshold": "0.5", **cells(usual), "on the test part": ""}]
    values: list[Numbers] = [{"budget": math.nan, "threshold": "0.5", **numbers(usual)}]
    for points in zip(*(run.operating for run in full), strict=True):
        budget, cautious = points[0].budget, points[0].cautious
        found = estimates([point.counts for point in points], METRICS)
        thresholds = _thresholds([point.threshold for point in points])
        became = fate(points, found[OF_BUDGET[budget.per]])
        rows.append(
            {
                "budget": budget_cell(budget),
                "kept on average or surely": "surely" if cautious else "on average",
                "threshold": thresholds,
                **cells(found),
                "on the test part": became,
            }
        )
        line: Numbers = {"budget": budget.limit, "per": budget.per, "cautious": cautious, "threshold": thresholds}
        values.append({**line, **numbers(found), "fate": became})
    note = (
        f"For each seed the threshold with the highest Pd on the {evaluation.rules.selecting_part} that keeps the "
        "budget there: on average, or surely, with the upper 95 % bound of its expectation (over images, and never "
        "below three alarms). Pd, Fa and the rest are those of the test part; kept or broken: its whole interval lies "
        "within or beyond the budget. None: no examined threshold keeps it and detects anything."
    )
    return Table("operating", f"Operating points, convention {convention}", note, rows, values)


def budget_cell(budget: Budget) -> str:
    """A budget for people.

    >>> budget_cell(Budget(2e-5)), budget_cell(Budget(0.1, "image"))
    ('Fa ≤ 20e-6', 'alarms/image ≤ 0.1')
    """
    title, factor, _ = COLUMNS[OF_BUDGET[budget.per]]
    return f"{title.removesuffix(' (1e-6)')} ≤ {budget.limit * factor:g}{'e-6' if factor > 1 else ''}"


def fate(points: Sequence[OperatingPoint], found: Estimate) -> str:
    """Whether a test part keeps the budget of some seeds' operating points; ``found`` is of what it limits."""
    if all(point.threshold == 1 for point in points):
        return "nothing detected"
    limit = points[0].budget.limit
    if found.low > limit:
        return "broken"
    if found.high <= limit:
        return "kept"
    return "within, not surely" if found.mean <= limit else "beyond, not surely"


def _thresholds(values: Sequence[float]) -> str:
    """Each of up to three thresholds, of more their range.

    >>> _thresholds([0.5, 0.25]), _thresholds([0.5, 0.25, 0.125, 0.75])
    ('0.5, 0.25', '0.125 to 0.75')
    """
    if len(values) <= 3:
        return ", ".join(map(_threshold, values))
    return f"{_threshold(min(values))} to {_threshold(max(values))}"


def _threshold(value: float) -> str:
    """A threshold for people: close to 1 by what is missing.

    >>> _threshold(0.25), _threshold(1 - 3e-9), _threshold(1.0)
    ('0.25', '1 - 3e-09', 'none')
    """
    if value == 1:
        return "none"
    return f"{value:.6g}" if value < 0.9999 else f"1 - {1 - value:.3g}"
