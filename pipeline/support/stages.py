"""What the training stages hand on: the winner of the search, and the runs that stages trained."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datransnet.atomic import atomic_path, write_text
from datransnet.data.manifest import Manifest
from datransnet.engine.recipe import Recipe
from datransnet.errors import DataError
from pipeline.support.paths import Study
from pipeline.support.records import Record, Run, plan
from pipeline.support.tracking import Tracker
from pipeline.support.training import Job

SCHEMA = 1


def write_result(path: Path, content: dict[str, Any]) -> None:
    """Write a stage's result as JSON."""
    write_text(path, json.dumps({"schema": SCHEMA, **content}, indent=1) + "\n")


def read_result(path: Path, stage: str) -> dict[str, Any]:
    """Read what `write_result` wrote.

    Raises:
        DataError: if it is missing or of another schema.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise DataError(f"{path} is missing or unreadable. Run the {stage} stage first.") from error
    if content.get("schema") != SCHEMA:
        raise DataError(f"{path} has schema {content.get('schema')}, not {SCHEMA}. Run the {stage} stage again.")
    return content


def read_manifest(study: Study) -> Manifest:
    """The manifest of the study's data.

    Raises:
        DataError: if the split stage did not run.
    """
    return Manifest.read(study.data / "manifest.json")


def winner(study: Study) -> tuple[dict[str, Any], Recipe]:
    """Network and recipe that the search chose, at the study's full number of epochs."""
    best = read_result(study.results / "tune.json", "tune")["best"]
    return best["model"], Recipe(**{**best["recipe"], "epochs": study.params.recipe.epochs})


def seeds_of(study: Study, model: dict[str, Any], recipe: Recipe, number: int, watched: bool = False) -> list[Run]:
    """A network and recipe on the study's first seeds."""
    manifest = read_manifest(study)
    return [plan(study.params, manifest, model, recipe, replicate, watched) for replicate in range(number)]


def workers_parent(study: Study, tracker: Tracker, parent: str | None) -> str | None:
    """The stage's run in MLflow as its workers may know it; asked where the stage runs, which knows the cluster.

    Machines of a cluster do not write to a file of SQLite's, which must not be shared: the stage itself delivers their
    records at its end.
    """
    return None if study.params.cluster.running and tracker.artifacts else parent


def make_jobs(
    study: Study, stage: str, tracker: Tracker, parent: str | None, runs: Sequence[tuple[str, Run]]
) -> list[Job]:
    """Jobs of a stage from named runs; ``parent`` is what `workers_parent` says."""
    resources = study.params.resources
    return [Job(run, stage, name, study.data, study.runs, resources, tracker, parent) for name, run in runs]


def hand_on(study: Study, stage: str, jobs: Sequence[Job], records: Sequence[Record]) -> None:
    """Write ``results/<stage>.json`` and copy the weights to ``models/<stage>/<key>.safetensors``."""
    with atomic_path(study.models / stage) as partial:
        partial.mkdir()
        for job in jobs:
            shutil.copyfile(job.folder.weights, partial / f"{job.run.key}.safetensors")
    runs = [
        {
            "key": job.run.key,
            "variant": job.name,
            "run": asdict(job.run),
            "val_iou": record.best_iou,
            "best_epoch": record.history[-1]["best_epoch"],
            "history": [
                {name: value for name, value in epoch.items() if name != "seconds"} for epoch in record.history
            ],
        }
        for job, record in zip(jobs, records, strict=True)
    ]
    write_result(study.results / f"{stage}.json", {"runs": runs})


def run_from(content: dict[str, Any]) -> Run:
    """The run of an entry of ``results/<stage>.json``."""
    return Run(**{**content["run"], "recipe": Recipe(**content["run"]["recipe"])})
