"""Stage train: the winner of the search on all seeds; the best by validation becomes ``models/best/``."""

import json
import shutil

from datransnet.atomic import atomic_path
from datransnet.data.images import Levels
from pipeline.parallel.jobs import run_jobs
from pipeline.parallel.train_stage import hand_on, make_jobs
from pipeline.runs.execute import Job
from pipeline.runs.gpu_share import with_share
from pipeline.runs.run import seeds_of
from pipeline.study.digest import digest_of
from pipeline.study.handover import read_manifest, winner
from pipeline.study.study import Study
from pipeline.tracking.stage_run import StageRun
from pipeline.tracking.tracker import Tracker


def main(study: Study) -> None:
    """Run the stage."""
    study = with_share(study)
    params = study.params
    model, recipe = winner(study)
    watched = params.protocol == "holdout"  # `literature` selects on the test part anyway
    runs = seeds_of(study, model, recipe, params.train.seeds, watched)
    manifest = read_manifest(study)
    tracker, identity = Tracker.of(study, manifest), digest_of([run.key for run in runs])
    with StageRun(tracker, "train", identity, params.digestible) as parent:
        jobs = make_jobs(study, parent.reports, [("full", run) for run in runs])
        parent.children = {run.key: "full" for run in runs}
        records = run_jobs("train", jobs, params)
        hand_on(study, "train", jobs, records)
        best = max(range(len(jobs)), key=lambda index: records[index].best_iou)
        everything = params.protocol == "literature"  # selects on the test part
        learnt = sorted(item.image for item in manifest.items if everything or item.part != "test")
        _publish(study, jobs[best], records[best].best_iou, learnt, manifest.levels)
        parent.model = study.models / "best"


def _publish(study: Study, job: Job, val_iou: float, learnt: list[str], levels: Levels) -> None:
    """Write the best model with a card that says what it is, and which images it has seen."""
    run = job.run
    card = {
        "schema": 1,
        "key": run.key,
        "dataset": run.dataset,
        "split": run.split,
        "data_digest": run.data_digest,
        "learnt": learnt,
        "levels": levels,
        "protocol": run.protocol,
        "selected_on": "test part †" if run.protocol == "literature" else "validation part",
        "val_iou": val_iou,
        "model": run.model,
        "recipe": vars(run.recipe),
        "seed": run.seed,
        "source_digest": run.source,
    }
    with atomic_path(study.models / "best") as partial:
        partial.mkdir()
        shutil.copyfile(job.folder.weights, partial / "weights.safetensors")
        (partial / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
