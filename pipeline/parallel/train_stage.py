"""What the stages `train` and `ablate` share: jobs from named runs, and what is handed on of them."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict

from datransnet.atomic import atomic_path
from pipeline.runs.execute import Job
from pipeline.runs.record import Record
from pipeline.runs.run import Run
from pipeline.study.handover import write_result
from pipeline.study.study import Study


def make_jobs(
    study: Study, reports: Callable[[str], Callable[[Record], None]], runs: Sequence[tuple[str, Run]]
) -> list[Job]:
    """Jobs of a stage from named runs; ``reports`` are those of its run in MLflow."""
    resources = study.params.resources
    return [Job(run, name, study.data, study.runs, resources, reports(name)) for name, run in runs]


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
