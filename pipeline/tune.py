"""Stage tune: a search for each network with Optuna, all in one Ray, resumable, on one machine or a cluster."""

from contextlib import ExitStack

from pipeline.console import say
from pipeline.runs.check_models import check_models
from pipeline.runs.gpu_share import with_share
from pipeline.search.sweep import alone, identity_of, run_sweeps, sweeps_of
from pipeline.study.digest import digest_of
from pipeline.study.handover import FOUND, Searches, write_result
from pipeline.study.study import Study
from pipeline.tracking.stage_run import StageRun
from pipeline.tracking.tracker import Tracker


def main(study: Study) -> None:
    """Run the stage."""
    study = with_share(study)
    params, manifest = study.params, study.manifest
    check_models(params)
    identities = {name: identity_of(own, manifest) for name, own in params.by_network.items()}
    identity = digest_of(list(identities.values()))
    with ExitStack() as locks:
        for each in sorted(set(identities.values())):  # in one order, so that no two processes wait for each other
            locks.enter_context(alone(study, each))
        with StageRun(Tracker.of(study), "tune", identity, params.digestible) as parent:
            sweeps = sweeps_of(study)
            parent.follow(
                lambda: {key: called for sweep in sweeps.values() for key, called in sweep.trainings().items()}
            )
            try:
                run_sweeps(study, sweeps, identity)
                results = {name: sweep.result() for name, sweep in sweeps.items()}
                write_result(study.results / "tune.json", Searches(results))
                for name in (name for name, found in results.items() if found.blind):
                    say(
                        f"tune: no trial of {name} reached an IoU of {FOUND:.0%} on the validation part: its winner is "
                        "one of equals. Give tune.epochs more, or this network a recipe or space of its own."
                    )
            finally:
                for sweep in sweeps.values():
                    sweep.settle()
