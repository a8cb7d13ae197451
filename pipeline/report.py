"""Stage report: tables, figures and one self-contained page, from what the other stages measured."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields

import numpy as np
import pandas as pd

from datransnet.atomic import atomic_path, write_text
from pipeline.console import say
from pipeline.publishing.seal import write_seal
from pipeline.reporting.board import Board
from pipeline.reporting.detection_limit import detection_limit
from pipeline.reporting.figures import (
    calibration_figure,
    embedded,
    examples_figure,
    limit_figure,
    parallel_figure,
    pareto_figure,
    roc_figure,
    save,
    search_figure,
    slices_figure,
    training_figure,
)
from pipeline.reporting.interactive import interactive_curves, library
from pipeline.reporting.leaderboard_figure import draw_leaderboard
from pipeline.reporting.names import winner_name
from pipeline.reporting.page import page
from pipeline.reporting.results import Results, board_of, tables_of
from pipeline.reporting.statistics import estimates
from pipeline.reporting.table import COLUMNS, Table
from pipeline.reporting.verdict import in_numbers, verdict
from pipeline.runs.trained import TrainedRun, read_trained
from pipeline.scoring.evaluation import Areas, StudyEvaluation
from pipeline.study.digest import digest_of
from pipeline.study.params import WINNER
from pipeline.study.study import Study
from pipeline.tracking.stage_run import StageRun
from pipeline.tracking.tracker import Tracker

FIGURES = {
    "roc": "ROC and Pd-Fa curves of every run. Pixel ROC: all pixels pooled. Target ROC: the DATransNet release's own "
    "curve, scores scaled by the image's maximum. Pd-Fa: detected targets over false-alarm pixels; filled marks: "
    "threshold 0.5, hollow ones: the operating point of the winner.",
    "networks": "All networks and methods of the study. From above: IoU over the time of an image, bars: 95 % interval "
    "over seeds; the place of each by IoU, and the places that are open; the share of test images whose IoU is above a "
    "value, all trainings together; validation IoU of the best of so many trials of its search, dotted: a 95 % band.",
    "examples": "Test images of the best run: its best, median and worst, those with the most missed targets and the "
    "most false alarms; image, mask, scores, and errors (green hit, orange missed, red false).",
    "detection_limit": "Detection limit of the winner: share of detected test targets by local SCR, for targets up "
    "to the median size and above, with 95 % intervals.",
    "calibration": "Reliability of the winner's scores: of the pixels with about that score, the share that is target, "
    "and how many there are.",
    "search": "The search: best validation IoU of each trial over its epochs, and the best so far. Dashed: the median "
    "of the best of as many draws from these trials, with a band that holds the whole curve with 95 % whatever their "
    "distribution (Kolmogorov-Smirnov); the trials of a search that learns are better than draws.",
    "slices": "Validation IoU over each searched value, later trials darker; in the title the share of what sets the "
    "better trials apart (PED-ANOVA) with its 95 % interval over trials, where there are enough of them to say.",
    "parallel": "Every trial as a line through its values, good ones dark.",
    "pareto": "Validation IoU against cost; filled dots are trials that no other beats in everything.",
    "training": "Training loss and validation IoU of the winner on each seed.",
}


SECTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Results": (
        ("main", "networks", "references", "references_apart", "hierarchical", "selection"),
        ("networks", "examples"),
    ),
    "Curves and operating point": (("operating",), ("roc", "calibration")),
    "Ablations": (("ablation", "components", "planning", "cost"), ()),
    "Search": (("search", "tuning"), ("search", "slices", "parallel", "pareto", "training")),
    "Detection limit": (("detection_limit",), ("detection_limit",)),
}
"""Tables and figures of each section of the page."""


def main(study: Study) -> None:
    """Run the stage."""
    found = Results.read(study)
    board = board_of(study, found)
    several = board if len(board.entries) > 1 else None
    tables = tables_of(found, several)
    metrics = _metrics(found.evaluation)
    measured = in_numbers(found.evaluation, tables["main"], tables.get("selection"))
    sentences = verdict(found.evaluation, tables["ablation"], several)
    with atomic_path(study.reports / "tables") as partial:
        for table in tables.values():
            table.write(partial)
    trained = [run for run in read_trained(study, "train") if run.variant == WINNER]
    _draw(study, found, trained, several)
    write_text(study.reports / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    _write_plots(study, found, trained)
    write_text(study.reports / "report.html", _page(study, found, tables, [measured, *sentences]))
    write_seal(study)
    tracker = Tracker.of(study)
    with StageRun(tracker, "report", digest_of(metrics), study.params.digestible) as parent:
        parent.metrics, parent.files, parent.summaries = _flat(metrics), [study.reports], _summaries(board)
        parent.note = "\n\n".join([measured, *sentences, tables["main"].markdown, tables["ablation"].markdown])
    first = tables["main"].rows[0]
    say(f"report: {first['convention']}: " + ", ".join(f"{title} {first[title]}" for title, _, _ in COLUMNS.values()))


def _draw(study: Study, found: Results, trained: Sequence[TrainedRun], board: Board | None) -> None:
    """Write all figures."""
    tuned, trials = found.tuned, found.tuned.trials
    with atomic_path(study.reports / "figures") as partial:
        if board is not None:
            draw_leaderboard([board], partial, "networks")
        save(roc_figure(found.curves, found.evaluation), partial, "roc")
        save(calibration_figure(found.evaluation.winners), partial, "calibration")
        save(limit_figure(detection_limit(found.targets)), partial, "detection_limit")
        save(search_figure(trials), partial, "search")
        save(slices_figure(trials, tuned.importances), partial, "slices")
        save(parallel_figure(trials), partial, "parallel")
        if len(tuned.objectives) > 1:
            save(pareto_figure(trials, tuned.pareto, tuned.objectives), partial, "pareto")
        histories = {f"seed {each.seed_number}": pd.DataFrame(each.history) for each in trained}
        save(training_figure(histories), partial, "training")
        save(examples_figure(found.examples), partial, "examples")


Metrics = dict[str, dict[str, float]]
"""Convention, or what else is measured → metric → value."""


def _metrics(evaluation: StudyEvaluation) -> Metrics:
    """Means over seeds, for `dvc metrics`."""
    full = evaluation.winners

    def means(measured: Sequence[object], names: Iterable[str]) -> dict[str, float]:
        found = {name: np.mean([getattr(each, name) for each in measured]) for name in names}
        return {name: float(f"{value:.6g}") for name, value in found.items()}  # Fa is a few millionths

    metrics = {name: means([run.scores[name] for run in full], COLUMNS) for name in full[0].scores}
    metrics["auc"] = means([run.areas for run in full], [field.name for field in fields(Areas)])
    metrics["calibration"] = means([run.calibration for run in full], ("ece", "ece_candidates"))
    metrics["operating"] = means([run.operating[0].scores for run in full], ("pd", "fa"))
    return metrics


def _summaries(board: Board) -> dict[str, dict[str, float]]:
    """What MLflow shows of each network over all its trainings: means, with intervals over seeds and over images."""
    found = {}
    for entry in board.entries:
        metrics: dict[str, float] = {"seeds": len(entry.counts), "place": entry.place.place}
        for name, each in estimates(entry.counts, list(COLUMNS)).items():
            metrics |= {f"test_{name}": each.mean, f"test_{name}_images_low": each.low}
            metrics |= {f"test_{name}_images_high": each.high}
            metrics |= {f"test_{name}_seeds_low": each.mean - each.half_width}
            metrics |= {f"test_{name}_seeds_high": each.mean + each.half_width}
        if entry.price is not None:
            metrics |= {key: value for key, value in vars(entry.price).items() if isinstance(value, int | float)}
        found[entry.name] = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return found


def _flat(metrics: Metrics) -> dict[str, float]:
    return {f"{outer}.{name}": value for outer, inner in metrics.items() for name, value in inner.items()}


def _write_plots(study: Study, found: Results, trained: Sequence[TrainedRun]) -> None:
    """Curves of the winner's first seed, and training histories, for `dvc plots`."""
    first, convention = found.evaluation.winners[0].key, found.evaluation.conventions[0]
    with atomic_path(study.reports / "plots") as partial:
        partial.mkdir()
        for name, kind, x, y in (("roc", "pixel", "fpr", "tpr"), ("pd_fa", f"pd_fa_{convention}", "fa", "pd")):
            curves = found.curves[first]
            frame = curves[curves["curve"] == kind].rename(columns={"x": x, "y": y})
            frame[[x, y, "threshold"]].to_csv(partial / f"{name}.csv", index=False, float_format="%.6g")
        history = pd.concat(pd.DataFrame(each.history).assign(seed=each.seed_number) for each in trained)
        history.to_csv(partial / "training.csv", index=False, float_format="%.6g")


def _page(study: Study, found: Results, tables: Mapping[str, Table], sentences: list[str]) -> str:
    """The report as one HTML page."""
    drawn = {name: study.reports / "figures" / f"{name}.png" for name in FIGURES}
    sections = {
        title: {
            "tables": [tables[name] for name in named if name in tables],
            "figures": [(name, FIGURES[name], *embedded(drawn[name])) for name in shown if drawn[name].exists()],
            "curves": interactive_curves(found.curves, found.evaluation) if "roc" in shown else [],
        }
        for title, (named, shown) in SECTIONS.items()
    }
    return page(
        "report.html",
        study=study.params.study,
        network=winner_name(found.evaluation),
        dataset=found.evaluation.dataset,
        card=study.params.data.card,
        protocol=found.evaluation.rules,
        sections=sections,
        library=library(),
        verdict=sentences,
        best=asdict(found.tuned.best),
        runs=found.evaluation.runs,
        costs=found.costs.runs,
        digest=found.evaluation.dataset.digest,
    )
