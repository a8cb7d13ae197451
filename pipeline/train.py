"""Stage train: the winner of each search on all seeds; the subject's best by validation becomes ``models/best/``."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from datransnet.atomic import atomic_path
from datransnet.weights import WEIGHTS, write_card
from pipeline.parallel.train_stage import train_all
from pipeline.runs.execute import Job
from pipeline.runs.plan import trainings
from pipeline.runs.record import Record
from pipeline.study.handover import winners
from pipeline.study.params import WINNER
from pipeline.study.study import Study


def main(study: Study) -> None:
    """Run the stage."""
    train_all(study, "train", trainings(study, winners(study)), partial(_publish, study))


def _publish(study: Study, jobs: Sequence[Job], records: Sequence[Record]) -> Path:
    """Write the subject's best network with a card that says what it is, and which images it has seen."""
    own = [index for index, job in enumerate(jobs) if job.name == WINNER]
    best = max(own, key=lambda index: records[index].best_iou)
    run, manifest = jobs[best].run, study.manifest
    rules = study.params.rules
    with atomic_path(study.models / "best") as partial:
        partial.mkdir()
        shutil.copyfile(jobs[best].folder.weights, partial / WEIGHTS)
        write_card(
            partial,
            run.model,
            run.recipe,
            key=run.key,
            dataset=run.dataset,
            split=run.split,
            data_digest=run.data_digest,
            learnt=sorted(item.image for item in manifest.items if item.part in rules.sees),
            levels=manifest.levels,
            protocol=run.protocol,
            selected_on=rules.selecting_part,
            val_iou=records[best].best_iou,
            seed=run.seed,
            source_digest=run.source,
        )
    return study.models / "best"
