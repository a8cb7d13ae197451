"""Stage tune: a search with Optuna and Ray Tune, resumable at any moment, on one machine or a cluster."""

from pipeline.parallel.train_stage import make_jobs
from pipeline.runs.check_models import check_models
from pipeline.runs.gpu_share import with_share
from pipeline.search.memory import open_memory
from pipeline.search.space import Point
from pipeline.search.sweep import Sweep, alone, identity_of
from pipeline.search.trial import Trial, run_of
from pipeline.study.handover import write_result
from pipeline.study.study import Study
from pipeline.tracking.stage_run import StageRun
from pipeline.tracking.tracker import Tracker


def main(study: Study) -> None:
    """Run the stage."""
    study = with_share(study)
    params, manifest = study.params, study.manifest
    check_models(params)
    identity = identity_of(params, manifest)
    with alone(study, identity), StageRun(Tracker.of(study), "tune", identity, params.digestible) as parent:

        def make_trial(point: Point) -> Trial:
            runs = [run_of(params, manifest, point, replicate) for replicate in range(params.tune.seeds)]
            name = f"trial-{runs[0].key[:6]}"
            return Trial(dict(point), make_jobs(study, [(name, run) for run in runs]))

        sweep = Sweep.of(study, open_memory(study, f"{params.study}-{identity}"), make_trial)
        parent.follow(sweep.trainings)
        try:
            sweep.run(study, identity)
            write_result(study.results / "tune.json", sweep.result())
        finally:
            sweep.settle()
