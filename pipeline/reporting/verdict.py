"""What a study found: its numbers in words, and what may be claimed from them.

A verdict holds no measured number, so that a study gives the same one wherever it is repeated, unless the evidence is
another.
"""

import math

from pipeline.reporting.board import Board
from pipeline.reporting.claims import LEAST_TRAININGS
from pipeline.reporting.statistics import LEAST_IMAGES
from pipeline.reporting.table import Table, cell_of
from pipeline.scoring.evaluation import StudyEvaluation

CLAIM = 0.05
"""A corrected p value of at most this is a difference."""


def in_numbers(evaluation: StudyEvaluation, main: Table, selection: Table | None) -> str:
    """What was measured of the winner."""
    first = main.values[0]
    targets = evaluation.dataset.summary["test"]["targets"]
    text = (
        f"The winner finds {100 * first['pd']:.1f} % of the {targets} test targets at {first['fa'] * 1e6:.1f} "
        f"false-alarm pixels in a million, with an IoU of {cell_of(first, 'iou')} % (convention "
        f"{first['convention']}, mean of {first['seeds']} seeds)."
    )
    if selection is not None:
        gain = sum(row["best_on_test"] - row["iou"] for row in selection.values) / len(selection.values)
        text += (
            " Choosing the epoch on the test part, as released scripts do, would have shown "
            f"{100 * gain:.2f} points of IoU more †."
        )
    return text


def verdict(evaluation: StudyEvaluation, ablation: Table, board: Board | None) -> list[str]:
    """Sentences on what may be claimed: of networks, of variants, and of how anything was selected."""
    if evaluation.rules.selects_on == "test":
        selected = "Epochs were selected on the test part †, so these numbers are better than a new image would see."
    else:
        selected = "Nothing was selected on the test part."
    networks = [_networks(board)] if board is not None else []
    return [*networks, _variants(evaluation, ablation), selected]


def _networks(board: Board) -> str:
    """Which networks and methods can be told apart."""
    told = [f"{entry.title} before {', '.join(entry.before)}" for entry in board.entries if entry.before]
    number = len(board.entries)
    if not told:
        return f"Of the {number} networks and methods none can be told from another by IoU."
    return f"Of the {number} networks and methods these are surely ahead by IoU: {'; '.join(told)}."


def _variants(evaluation: StudyEvaluation, ablation: Table) -> str:
    variants = [row for row in ablation.values if "iou_change" in row]
    number, seeds = len(variants), min((row["seeds"] for row in ablation.values), default=0)
    if not variants:
        return "No variant was trained beside it."
    if seeds < LEAST_TRAININGS:
        return (
            f"Nothing is claimed of its {number} variants: {seeds} training(s) of each cannot tell methods apart, at "
            f"least {LEAST_TRAININGS} are needed (train.seeds, ablate.seeds)."
        )
    if all(math.isnan(row["p_holm"]) for row in variants):
        images = evaluation.dataset.summary["test"]["images"]
        return (
            f"Nothing is claimed of its {number} variants: {images} test images are too few, at least {LEAST_IMAGES}."
        )
    told = [row for row in variants if row["p_holm"] <= CLAIM]
    if not told:
        them = "its variant cannot" if number == 1 else f"none of its {number} variants can"
        return f"With {seeds} trainings of each, {them} be told from it by IoU."
    named = ", ".join(f"{row['variant']} ({'higher' if row['iou_change'] > 0 else 'lower'})" for row in told)
    rest = f"; the other {number - len(told)} cannot be told from it" if len(told) < number else ""
    return f"With {seeds} trainings of each, these variants differ from it in IoU: {named}{rest}."
