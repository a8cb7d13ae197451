"""Stage ablate: the winner without each of its components, with each alone, and named variants, on the same seeds."""

from pipeline.parallel.jobs import run_jobs
from pipeline.parallel.train_stage import hand_on, make_jobs
from pipeline.runs.check_models import check_models
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
    check_models(params)
    model, recipe = winner(study)
    runs = [
        (name, run)
        for name, changes in params.ablate.changes().items()
        for run in seeds_of(study, model | dict(changes), recipe, params.ablate.seeds)
    ]
    tracker, identity = Tracker.of(study, read_manifest(study)), digest_of([run.key for _, run in runs])
    with StageRun(tracker, "ablate", identity, params.digestible) as parent:
        jobs = make_jobs(study, parent.reports, runs)
        parent.children = {run.key: name for name, run in runs}
        hand_on(study, "ablate", jobs, run_jobs("ablate", jobs, params))
