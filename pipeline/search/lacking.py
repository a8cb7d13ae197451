"""What a study still has to train: the next legs of its searches, and, once it is known what these choose, the rest."""

from contextlib import ExitStack

from datransnet.errors import ParameterError
from pipeline.parallel.train_stage import make_jobs
from pipeline.runs.plan import ablations, trainings
from pipeline.runs.worker import Task
from pipeline.search.sweep import Sweep, alone, identity_of, sweeps_of
from pipeline.study.handover import in_full
from pipeline.study.study import Study

PATIENCE = 10.0
"""Seconds after which a person is told that somebody else plans, or that the stage itself is at work."""


def lacking(study: Study) -> list[Task]:
    """Tasks that can be trained now, in the order in which they should be.

    What the searches want next depends on what has been trained, so it is worked out anew each time, from the records.
    One process does so at a time.

    Raises:
        ParameterError: if the search measures hours or costs, which only its stage does.
    """
    plan = study.params.tune
    if plan.limited or len(plan.objectives) > 1:
        raise ParameterError(
            "tune: hours, and objectives beside the IoU, are measured by the stage itself: run `dvc repro tune` first."
        )
    identities = {identity_of(own, study.manifest) for own in study.params.by_network.values()}
    with ExitStack() as locks:
        for identity in sorted(identities):
            locks.enter_context(alone(study, identity, PATIENCE))
        sweeps = sweeps_of(study)
        legs = [task for sweep in sweeps.values() for task in _legs(sweep)]  # it may ask for points, so it is locked
    if not all(sweep.decided for sweep in sweeps.values()):
        return legs
    found = in_full({name: sweep.choice for name, sweep in sweeps.items()}, study)
    named = [*trainings(study, found), *ablations(study, found)]
    jobs = {job.run.key: job for job in make_jobs(study, named)}  # two names may mean one run
    return legs + [Task([job], job.run.recipe.epochs) for job in jobs.values()]


def _legs(sweep: Sweep) -> list[Task]:
    """The legs that could begin now; a single trial, which competes with none, is trained to its end at once."""
    rungs, course = sweep.course.schedule.rungs, sweep.course
    single = sweep.params.tune.trials == 1
    return [Task(course.trials[leg.trial].jobs, rungs[-1 if single else leg.rung]) for leg in course.waiting]
