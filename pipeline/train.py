"""Stage train: the winner of each search on all seeds; the subject's best by validation becomes ``models/best/``."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from datransnet.atomic import atomic_path
from datransnet.weights import WEIGHTS, write_card
from pipeline.parallel.train_stage import Named, train_all
from pipeline.runs.execute import Job
from pipeline.runs.record import Record
from pipeline.runs.run import seeds_of
from pipeline.study.handover import winners
from pipeline.study.params import UNTUNED, WINNER
from pipeline.study.study import Study


def main(study: Study) -> None:
    """Run the stage."""
    params, found = study.params, winners(study)
    subject, named = next(iter(found)), list[Named]()
    for name, (model, recipe) in found.items():
        trained = {WINNER if name == subject else name: (model, recipe)}
        if params.train.untuned:
            own = params.by_network[name]
            trained[UNTUNED if name == subject else f"{name}_{UNTUNED}"] = own.model.arguments(), own.recipe
        for variant, what in trained.items():
            runs = seeds_of(study, *what, params.train.seeds, params.rules.watches_test)
            named += [(name, variant, run) for run in runs]
    train_all(study, "train", named, partial(_publish, study))


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
