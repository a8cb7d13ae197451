"""What the stages `train` and `ablate` share: named runs are trained, and handed on to the stages that follow."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from datransnet.atomic import atomic_path
from pipeline.parallel.jobs import run_jobs
from pipeline.runs.execute import Job
from pipeline.runs.gpu_share import with_share
from pipeline.runs.plan import Named
from pipeline.runs.record import Record
from pipeline.runs.run import Called, seed_numbers
from pipeline.runs.trained import TrainedRun, TrainedRuns
from pipeline.study.digest import digest_of
from pipeline.study.handover import write_result
from pipeline.study.study import Study
from pipeline.tracking.stage_run import StageRun
from pipeline.tracking.tracker import Tracker

Publish = Callable[[Sequence[Job], Sequence[Record]], Path]
"""Given what was trained, writes the network that the stage offers to others, and returns its folder."""


def train_all(study: Study, stage: str, runs: Sequence[Named], publish: Publish | None = None) -> None:
    """Train named runs as a stage: in parallel, tracked by MLflow, and handed on when all have ended well.

    Raises:
        DATransNetError: naming the runs that failed; the others are kept.
    """
    study = with_share(study)
    identity = digest_of([run.key for _, _, run in runs])
    with StageRun(Tracker.of(study), stage, identity, study.params.digestible) as parent:
        jobs = make_jobs(study, runs)
        parent.follow(lambda: {run.key: Called(name, network) for network, name, run in runs})
        records = run_jobs(stage, jobs, study.params)
        hand_on(study, stage, jobs, records)
        if publish is not None:
            parent.model = publish(jobs, records)


def make_jobs(study: Study, runs: Sequence[Named]) -> list[Job]:
    """Jobs of a stage from named runs."""
    seat, numbers = study.params.resources.seat, seed_numbers(name for _, name, _ in runs)
    return [
        Job(run, network, name, number, study.data, study.runs, seat)
        for (network, name, run), number in zip(runs, numbers, strict=True)
    ]


def hand_on(study: Study, stage: str, jobs: Sequence[Job], records: Sequence[Record]) -> None:
    """Write ``results/<stage>.json`` and copy the weights to ``models/<stage>/<key>.safetensors``."""
    with atomic_path(study.models / stage) as partial:
        partial.mkdir()
        for job in jobs:
            shutil.copyfile(job.folder.weights, partial / f"{job.run.key}.safetensors")
    runs = [
        TrainedRun(
            key=job.run.key,
            network=job.network,
            variant=job.name,
            seed_number=job.seed_number,
            run=job.run,
            val_iou=record.best_iou,
            best_epoch=int(record.history[-1]["best_epoch"]),
            history=[{name: value for name, value in epoch.items() if name != "seconds"} for epoch in record.history],
        )
        for job, record in zip(jobs, records, strict=True)
    ]
    write_result(study.results / f"{stage}.json", TrainedRuns(runs))
