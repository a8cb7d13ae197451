"""``python -m pipeline leaderboard``: finished studies, of several networks and datasets, in one table and page."""

from collections.abc import Sequence
from pathlib import Path

from datransnet.atomic import atomic_path, write_text
from datransnet.errors import ParameterError
from pipeline.console import say
from pipeline.reporting.board import Finished, boards
from pipeline.reporting.figures import embedded
from pipeline.reporting.leaderboard import leaderboard_tables
from pipeline.reporting.leaderboard_figure import draw_leaderboard
from pipeline.reporting.page import page
from pipeline.scoring.costs import Costs
from pipeline.scoring.evaluation import StudyEvaluation
from pipeline.scoring.submitted import read_submissions
from pipeline.study.handover import read_result, read_searches
from pipeline.study.study import Study


def show_leaderboard(folders: Sequence[Path], out: Path | None) -> None:
    """Print Markdown, and write page, figure and tables where asked.

    Args:
        folders: of the studies.
        out: where the page, CSV, Markdown, LaTeX and figure go, or None.

    Raises:
        ParameterError: if a folder is no study, or two studies have one name.
        DataError: if a study is not finished, or `boards` says so.
    """
    studies = []
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        if not (folder / "params.yaml").is_file():
            raise ParameterError(f"{folder} is no study: it has no params.yaml. `make repro PROFILE=NAME` makes one.")
        study = Study(folder)
        evaluation = read_result(study.results / "evaluation/evaluation.json", StudyEvaluation, "evaluate")
        costs = read_result(study.results / "cost.json", Costs, "evaluate")
        studies.append(Finished(study.params.study, evaluation, costs, read_searches(study), read_submissions(folder)))
    names = [study.name for study in studies]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ParameterError(f"Two studies are called {', '.join(twice)}. Give them names of their own (study: …).")
    found = boards(studies)
    tables = leaderboard_tables(found)
    for table in tables:
        say(table.markdown)
    if out is not None:
        with atomic_path(out) as partial:
            for table in tables:
                table.write(partial)
            draw_leaderboard(found, partial)
            shown = {"studies": names, "shown": tables, "figure": embedded(partial / "leaderboard.png")}
            write_text(partial / "leaderboard.html", page("leaderboard.html", **shown))
        say(f"All of it: {out}/leaderboard.html")
