"""What the stages have measured, and all tables that follow from it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.reporting.ablation_tables import ablation_table, components_table
from pipeline.reporting.board import Board, Finished, boards
from pipeline.reporting.detection_limit import detection_limit, limit_table
from pipeline.reporting.hierarchical_table import hierarchical_table
from pipeline.reporting.leaderboard import board_table
from pipeline.reporting.operating_table import operating_table
from pipeline.reporting.planning import planning_table
from pipeline.reporting.published import reference_tables
from pipeline.reporting.result_tables import (
    cost_table,
    main_table,
    search_table,
    selection_table,
    tuning_table,
)
from pipeline.reporting.table import Table
from pipeline.scoring.costs import Costs
from pipeline.scoring.evaluation import StudyEvaluation
from pipeline.study.handover import Searches, Tuned, read_result, read_searches
from pipeline.study.study import Study


@dataclass(frozen=True)
class Results:
    """What the other stages left."""

    evaluation: StudyEvaluation
    searches: Searches
    costs: Costs
    curves: dict[str, pd.DataFrame]
    targets: pd.DataFrame
    examples: dict[str, npt.NDArray[Any]]

    @property
    def tuned(self) -> Tuned:
        """The subject's search."""
        return self.searches.subject

    @classmethod
    def read(cls, study: Study) -> "Results":
        """What the stages of a study left.

        Raises:
            DataError: if one did not run.
        """
        folder = study.results / "evaluation"
        evaluation = read_result(folder / "evaluation.json", StudyEvaluation, "evaluate")
        with np.load(folder / "examples.npz") as archive:
            examples = dict(archive)
        return cls(
            evaluation=evaluation,
            searches=read_searches(study),
            costs=read_result(study.results / "cost.json", Costs, "evaluate"),
            curves={each.key: pd.read_csv(folder / "curves" / f"{each.key}.csv") for each in evaluation.scored},
            targets=pd.read_csv(folder / "targets.csv"),
            examples=examples,
        )


def board_of(study: Study, found: Results) -> Board:
    """The networks and methods of a study beside each other."""
    (board,) = boards([Finished(study.params.study, found.evaluation, found.costs, found.searches)])
    return board


def tables_of(found: Results, board: Board | None) -> dict[str, Table]:
    """All tables by name."""
    evaluation, targets = found.evaluation, found.targets
    main = main_table(evaluation)
    tables = [
        main,
        board_table(board, "networks") if board else None,
        *reference_tables(evaluation, main),
        selection_table(evaluation),
        hierarchical_table(evaluation),
        operating_table(evaluation),
        ablation_table(evaluation),
        components_table(evaluation),
        planning_table(evaluation, found.costs),
        cost_table(evaluation, found.costs),
        search_table(found.tuned),
        tuning_table(found.tuned),
        limit_table(detection_limit(targets), targets["pixels"].median()),
    ]
    return {table.name: table for table in tables if table}
