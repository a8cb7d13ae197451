"""Hierarchical IoU of the winner and its peers, and what it lost to which cause."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from datransnet.metrics import HIERARCHICAL, hierarchical_terms, with_phantoms
from pipeline.reporting.names import winner_name
from pipeline.reporting.result_tables import protocol_note
from pipeline.reporting.statistics import Counted, Terms, estimates
from pipeline.reporting.table import HIERARCHICAL_COLUMNS, Numbers, Table, cells, numbers
from pipeline.scoring.evaluation import ScoredPeer, ScoredRun, StudyEvaluation

FORMS = ("hiou", "hiou_released")


def hierarchical_table(evaluation: StudyEvaluation) -> Table:
    """A line for each form of hierarchical IoU and each model."""
    models: list[tuple[str, Sequence[ScoredRun | ScoredPeer]]] = [(winner_name(evaluation), evaluation.winners)]
    models += [(peer.variant, [peer]) for peer in evaluation.peers]
    rows, values = [], []
    for form in FORMS:
        for name, runs in models:
            mark = "" if isinstance(runs[0], ScoredPeer) else evaluation.rules.mark
            found = estimates(
                [_columns(run) for run in runs],
                list(HIERARCHICAL_COLUMNS),
                partial(_terms, HIERARCHICAL[form].phantoms),
            )
            rows.append({"model": name, "form": form + mark, **cells(found)})
            line: Numbers = {"model": name, "form": form, "seeds": len(runs)}
            values.append({**line, **numbers(found)})
    note = protocol_note(evaluation) + (
        " hIoU: location IoU (matched pairs over pairs, alarms and misses) times segmentation IoU (mean IoU of matched "
        "pairs), at 0.5; what it lacks to 100 % is lost to targets that nothing is near, to alarms that no target is "
        "near, to components over several targets, to several components over one target, and to the outline of "
        "matched pairs. hiou_released adds an alarm for every image without a prediction and a miss for every one "
        "without a target, as pyirstdmetrics 1.0.2 does (arXiv 2509.16888)."
    )
    return Table("hierarchical", "Hierarchical IoU", note, rows, values)


def _columns(run: ScoredRun | ScoredPeer) -> Counted:
    """The counts, with the number of targets, by which resamples draw."""
    matches = run.hierarchical
    targets = [pairs + misses for pairs, misses in zip(matches["matched"], matches["misses"], strict=True)]
    return {**matches, "targets": targets}


def _terms(phantoms: bool, columns: dict[str, np.ndarray]) -> dict[str, Terms]:
    return hierarchical_terms(with_phantoms(columns) if phantoms else columns)
