"""Stage report: tables, figures and one self-contained page, from what the other stages measured."""

import json
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from datransnet.atomic import atomic_path, write_text
from pipeline.support.console import say
from pipeline.support.figures import (
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
from pipeline.support.limit import detection_limit, limit_table
from pipeline.support.paths import Study
from pipeline.support.records import digest_of
from pipeline.support.results import (
    ablation_table,
    main_table,
    operating_table,
    search_table,
    selection_table,
    winners,
)
from pipeline.support.stages import read_manifest, read_result
from pipeline.support.tables import COLUMNS, Table
from pipeline.support.tracking import Tracker
from pipeline.support.verdict import verdict

FIGURES = {
    "roc": "ROC and Pd-Fa curves of every run. Pixel ROC: all pixels pooled. Target ROC: the DATransNet release's own "
    "curve, scores scaled by the image's maximum. Pd-Fa: detected targets over false-alarm pixels; filled marks: "
    "threshold 0.5, hollow ones: the operating point of the winner.",
    "examples": "Test images of the best run, from its worst to its best: image, mask, scores, and errors "
    "(green hit, orange missed, red false).",
    "detection_limit": "Detection limit of the winner: share of detected test targets by local SCR, for targets up "
    "to the median size and above, with 95 % intervals.",
    "calibration": "Reliability of the winner's scores: of the pixels with about that score, the share that is target, "
    "and how many there are.",
    "search": "The search: best validation IoU of each trial over its epochs, and the best so far.",
    "slices": "Validation IoU over each searched value, later trials darker; in the title the share of what sets the "
    "better trials apart (PED-ANOVA), where there are enough trials to say.",
    "parallel": "Every trial as a line through its values, good ones dark.",
    "pareto": "Validation IoU against cost; filled dots are trials that no other beats in everything.",
    "training": "Training loss and validation IoU of the winner on each seed.",
}


def main(study: Study) -> None:
    """Run the stage."""
    evaluation = read_result(study.results / "evaluation" / "evaluation.json", "evaluate")
    tuned = read_result(study.results / "tune.json", "tune")
    trained = read_result(study.results / "train.json", "train")
    curves = {
        run["key"]: pd.read_csv(study.results / "evaluation" / "curves" / f"{run['key']}.csv")
        for run in [*evaluation["runs"], *evaluation["peers"]]
    }
    with np.load(study.results / "evaluation" / "examples.npz") as archive:
        examples = dict(archive)
    targets = pd.read_csv(study.results / "evaluation" / "targets.csv")
    limit = detection_limit(targets)
    tables = [main_table(evaluation), ablation_table(evaluation), operating_table(evaluation)]
    selection = selection_table(evaluation)
    sentences = verdict(evaluation, tables[0], tables[1], selection)
    tables += [selection] if selection else []
    tables += [limit_table(limit, targets["pixels"].median()), search_table(tuned)]
    with atomic_path(study.reports / "tables") as partial:
        partial.mkdir()
        for table in tables:
            table.write(partial)
    with atomic_path(study.reports / "figures") as partial:
        partial.mkdir()
        save(roc_figure(curves, evaluation), partial, "roc")
        save(calibration_figure(winners(evaluation)), partial, "calibration")
        save(limit_figure(limit), partial, "detection_limit")
        save(search_figure(tuned["trials"]), partial, "search")
        save(slices_figure(tuned["trials"], tuned["importances"]), partial, "slices")
        save(parallel_figure(tuned["trials"]), partial, "parallel")
        if len(tuned["objectives"]) > 1:
            save(pareto_figure(tuned["trials"], tuned["pareto"], tuned["objectives"]), partial, "pareto")
        save(training_figure(trained["runs"]), partial, "training")
        save(examples_figure(examples), partial, "examples")
    metrics = _metrics(evaluation)
    write_text(study.reports / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    _write_plots(study, evaluation, trained, curves)
    write_text(study.reports / "report.html", _page(study, evaluation, tuned, tables, sentences))
    tracker = Tracker.of(study, evaluation["dataset"]["digest"])
    parent = tracker.open_stage("report", digest_of(metrics), study.params.digestible)
    tracker.close_stage(parent, failed=False, metrics=_flat(metrics), files=[study.reports])
    first = tables[0].rows[0]
    say(f"report: {first['convention']}: " + ", ".join(f"{title} {first[title]}" for title, _, _ in COLUMNS.values()))


def _metrics(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Means over seeds, for `dvc metrics`: convention → metric → value."""
    full = winners(evaluation)

    def mean(values: list[float]) -> float:
        return float(f"{np.mean(values):.6g}")  # significant digits: Fa is a few millionths

    metrics = {
        convention: {name: mean([run["scores"][convention][name] for run in full]) for name in COLUMNS}
        for convention in full[0]["scores"]
    }
    metrics["auc"] = {name: mean([run["areas"][name] for run in full]) for name in full[0]["areas"]}
    metrics["calibration"] = {
        name: mean([run["calibration"][name] for run in full]) for name in ("ece", "ece_candidates")
    }
    metrics["operating"] = {name: mean([run["operating"]["scores"][name] for run in full]) for name in ("pd", "fa")}
    return metrics


def _flat(metrics: dict[str, Any]) -> dict[str, float]:
    return {f"{outer}.{name}": value for outer, inner in metrics.items() for name, value in inner.items()}


def _write_plots(
    study: Study, evaluation: dict[str, Any], trained: dict[str, Any], curves: dict[str, pd.DataFrame]
) -> None:
    """Curves of the winner's first seed, and training histories, for `dvc plots`."""
    first, convention = winners(evaluation)[0]["key"], next(iter(evaluation["runs"][0]["counts"]))
    with atomic_path(study.reports / "plots") as partial:
        partial.mkdir()
        for name, kind, x, y in (("roc", "pixel", "fpr", "tpr"), ("pd_fa", f"pd_fa_{convention}", "fa", "pd")):
            frame = curves[first][curves[first]["curve"] == kind].rename(columns={"x": x, "y": y})
            frame[[x, y, "threshold"]].to_csv(partial / f"{name}.csv", index=False, float_format="%.6g")
        history = pd.concat(pd.DataFrame(run["history"]).assign(seed=run["run"]["seed"]) for run in trained["runs"])
        history.to_csv(partial / "training.csv", index=False, float_format="%.6g")


def _page(
    study: Study, evaluation: dict[str, Any], tuned: dict[str, Any], tables: list[Table], sentences: list[str]
) -> str:
    """The report as one HTML page."""
    template = files("pipeline.support").joinpath("templates/report.html").read_text()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    drawn = {name: study.reports / "figures" / f"{name}.png" for name in FIGURES}
    images = [(name, FIGURES[name], *embedded(path)) for name, path in drawn.items() if path.exists()]
    return environment.from_string(template).render(
        study=study.params.study,
        dataset=evaluation["dataset"],
        protocol=evaluation["protocol"],
        tables=tables,
        figures=images,
        verdict=sentences,
        best=tuned["best"],
        runs=evaluation["runs"],
        digest=read_manifest(study).digest,
    )
