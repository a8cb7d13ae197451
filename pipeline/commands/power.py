"""``python -m pipeline power``: what more trainings of a finished study could tell, before anything is trained."""

from datransnet.errors import DataError, ParameterError
from pipeline.console import say
from pipeline.reporting.planning import planning_table, spread_in
from pipeline.reporting.power import least_difference, power, seeds_needed
from pipeline.scoring.costs import Costs
from pipeline.scoring.evaluation import StudyEvaluation
from pipeline.study.handover import read_result
from pipeline.study.study import Study

MOST = 200
"""Trainings of each method beyond which nobody would train."""


def show_power(study: Study, points: float | None) -> None:
    """Print Markdown: least differences by number of trainings; and how many a difference needs.

    Args:
        study: whose evaluation is finished.
        points: a difference of IoU, in points, or None.

    Raises:
        DataError: if the study's evaluation is missing, or holds no network that was trained twice beside a variant.
        ParameterError: if the difference is not above 0.
    """
    if points is not None and points <= 0:
        raise ParameterError(f"--difference {points:g} must be above 0, in points of IoU.")
    evaluation = read_result(study.results / "evaluation" / "evaluation.json", StudyEvaluation, "evaluate")
    table = planning_table(evaluation, read_result(study.results / "cost.json", Costs, "evaluate"))
    spread = spread_in(evaluation)
    if table is None or spread is None:
        raise DataError(
            "How far trainings spread is not known here: it takes a variant beside the winner, and two trainings of "
            "either (train.seeds, ablate.seeds)."
        )
    say(table.markdown)
    if points is None:
        return
    images = evaluation.dataset.summary["test"]["images"]
    needed = seeds_needed(points / 100, spread, images, range(MOST + 1))
    if needed is None:
        least = 100 * least_difference(spread, MOST, images)
        say(f"{points:g} points of IoU: not told by {MOST} trainings of each; at best {least:.2f} on {images} images.")
    else:
        chance = power(points / 100, spread, needed, images)
        say(f"{points:g} points of IoU: {needed} trainings of each method tell them in {chance:.0%} of cases.")
