"""Stage ablate: named variants of the winner, each different in one thing, on the same seeds."""

from pipeline.support.cluster import run_jobs
from pipeline.support.networks import check_models
from pipeline.support.paths import Study
from pipeline.support.records import digest_of
from pipeline.support.stages import hand_on, make_jobs, read_manifest, seeds_of, winner
from pipeline.support.tracking import Tracker


def main(study: Study) -> None:
    """Run the stage."""
    params = study.params
    check_models(params)
    model, recipe = winner(study)
    runs = [
        (name, run)
        for name, changes in params.ablate.variants.items()
        for run in seeds_of(study, model | dict(changes), recipe, params.ablate.seeds)
    ]
    tracker = Tracker.of(study, read_manifest(study).digest)
    parent = tracker.open_stage("ablate", digest_of([run.key for _, run in runs]), params.digestible)
    jobs = make_jobs(study, "ablate", tracker, parent, runs)
    failed = True
    try:
        hand_on(study, "ablate", jobs, run_jobs("ablate", jobs, params))
        failed = False
    finally:
        tracker.close_stage(parent, failed)
