"""What could be told, and what it would cost: the least difference between two methods by number of trainings."""

import math
from collections.abc import Sequence
from statistics import fmean

from pipeline.reporting.claims import LEAST_TRAININGS, Spread, mean_spread, per_image, spread_of
from pipeline.reporting.power import POWER, least_difference, resolution
from pipeline.reporting.result_tables import counts_of
from pipeline.reporting.statistics import gather
from pipeline.reporting.table import Numbers, Table
from pipeline.scoring.costs import Costs, RunCost
from pipeline.scoring.evaluation import StudyEvaluation
from pipeline.study.params import WINNER

TRAININGS = (3, 4, 5, 7, 10, 15, 20, 30, 50)
"""Numbers of trainings of each method that the table looks at, and those of the study."""


def spread_in(evaluation: StudyEvaluation) -> Spread | None:
    """How IoU spreads over seeds and images between the winner and a variant, by the mean over variants.

    None where no variant was trained, or none twice.
    """
    values = {
        name: per_image(*gather(counts_of(found, evaluation.conventions[0]), "iou"))
        for name, found in evaluation.by_variant().items()
    }
    spreads = [spread_of(values[WINNER], other) for name, other in values.items() if name != WINNER]
    if not any(len(found) > 1 for found in values.values()) or not spreads:
        return None
    return mean_spread(spreads)


def planning_table(evaluation: StudyEvaluation, costs: Costs) -> Table | None:
    """The least difference of IoU that so many trainings of each method tell; None where no spread is known."""
    spread = spread_in(evaluation)
    if spread is None:
        return None
    images, variants = evaluation.dataset.summary["test"]["images"], evaluation.by_variant()
    tests = len(variants) - 1
    hours = _hours([costs.runs[run.key] for runs in variants.values() for run in runs])
    trained = {len(found) for found in variants.values()}
    rows, values = [], []
    for seeds in sorted({*TRAININGS, *(number for number in trained if number >= LEAST_TRAININGS)}):
        one, every = (least_difference(spread, seeds, images, number) for number in (1, tests))
        rows.append(
            {
                "trainings of each": str(seeds) + (" (this study)" if trained == {seeds} else ""),
                "one comparison (points of IoU)": f"{100 * one:.2f}",
                f"any of {tests}, after Holm": f"{100 * every:.2f}",
                "hours for two methods": "" if math.isnan(hours) else f"{2 * seeds * hours:.2f}",
                f"hours for all {tests + 1}": "" if math.isnan(hours) else f"{(tests + 1) * seeds * hours:.2f}",
            }
        )
        row: Numbers = {"trainings": seeds, "least_difference": one, "least_difference_holm": every}
        values.append({**row, "hours_of_one_training": hours})
    note = (
        f"Least true difference that a study with so many trainings of each method on these {images} test images tells "
        f"in {POWER:.0%} of all cases at 5 %. Seen in this study: a standard deviation of "
        f"{100 * math.sqrt(spread.first):.2f} points of IoU over trainings, and of "
        f"{100 * math.sqrt(spread.images):.2f} points over images for a change between two methods. However many "
        f"trainings there are, these images tell no difference below {100 * resolution(spread, images):.2f} points. "
        "Hours: as trainings took here, one after another."
    )
    return Table("planning", "What could be told, and what it costs", note, rows, values)


def _hours(costs: Sequence[RunCost]) -> float:
    """Mean hours of one training; NaN where no record says."""
    found = [cost.training for cost in costs if cost.training is not None]
    return fmean(found) / 3600 if found else math.nan
