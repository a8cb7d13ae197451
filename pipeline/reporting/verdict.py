"""What a study found, in three sentences written from its numbers."""

import math

from pipeline.reporting.statistics import LEAST_IMAGES
from pipeline.reporting.table import Table, cell_of, p_cell
from pipeline.scoring.evaluation import StudyEvaluation

CLAIM = 0.05
"""A corrected p value below this is a difference."""


def verdict(evaluation: StudyEvaluation, main: Table, ablation: Table, selection: Table | None) -> list[str]:
    """Sentences about the winner, its variants, and what selecting on the test part would have gained."""
    first = main.values[0]
    targets = evaluation.dataset.summary["test"]["targets"]
    found = (
        f"The winner finds {100 * first['pd']:.1f} % of the {targets} test targets at {first['fa'] * 1e6:.1f} "
        f"false-alarm pixels in a million, with an IoU of {cell_of(first, 'iou')} % (convention "
        f"{first['convention']}, mean of {first['seeds']} seeds)."
    )
    return [found, _variants(evaluation, ablation), _selection(evaluation, selection)]


def _variants(evaluation: StudyEvaluation, ablation: Table) -> str:
    variants = [row for row in ablation.values if "iou_change_change" in row]
    if not variants:
        return "No variant was trained beside it."
    if all(math.isnan(row["p_holm"]) for row in variants):
        images = evaluation.dataset.summary["test"]["images"]
        return f"{images} test images are too few to tell its {len(variants)} variants apart: at least {LEAST_IMAGES}."
    told = [
        f"{row['variant']} ({100 * row['iou_change_change']:+.2f} points of IoU, p {_equals(p_cell(row['p_holm']))})"
        for row in variants
        if row["p_holm"] < CLAIM
    ]
    if not told:
        return f"None of its {len(variants)} variants differs from it on these images, after Holm's correction."
    return f"Of its {len(variants)} variants these differ on these images, after Holm's correction: {', '.join(told)}."


def _equals(shown: str) -> str:
    return shown.replace("<", "< ") if shown.startswith("<") else f"= {shown}"


def _selection(evaluation: StudyEvaluation, selection: Table | None) -> str:
    if evaluation.rules.selects_on == "test":
        return "Epochs were selected on the test part †, so these numbers are better than a new image would see."
    if selection is None:
        return f"Nothing was selected on the test part ({len(evaluation.winners)} seeds)."
    gain = sum(row["best_on_test"] - row["iou"] for row in selection.values) / len(selection.values)
    return (
        "Nothing was selected on the test part; choosing the epoch there, as released scripts do, would have shown "
        f"{100 * gain:.2f} points of IoU more †."
    )
