"""Stage tune: a search with Optuna and Ray Tune, resumable at any moment, on one machine or a cluster.

What is known lies in two places that survive a kill: the run records, and Optuna's study
(`pipeline.search.optuna_study`). The stage starts a new Tuner each time and hands both to it: trials that ended are not
asked for again, those cut off are asked for first and go on from their checkpoints, and the scheduler hears every
recorded epoch again (Ray does not restore its rungs). See docs/decisions/0003-resuming-a-search.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial

import optuna
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from datransnet.data.manifest import Manifest
from datransnet.errors import DATransNetError
from pipeline.console import Progress, say
from pipeline.parallel.jobs import report_failures
from pipeline.parallel.session import ray_session
from pipeline.parallel.train_stage import make_jobs
from pipeline.runs.check_models import check_models
from pipeline.runs.gpu_share import with_share
from pipeline.runs.provenance import now
from pipeline.runs.record import Status
from pipeline.runs.run import training_source
from pipeline.search.budget import Budget
from pipeline.search.listening import Failures, Listener
from pipeline.search.optuna_study import importances, open_study, own_trials, storage_of
from pipeline.search.ray_tune import METRIC, RETRIES, Searcher, make_scheduler, replay, trainable, tuner
from pipeline.search.sampler import make_sampler
from pipeline.search.space import Point, encode, is_complete, suggest
from pipeline.search.trial import MakeTrial, Trial, describe, run_of
from pipeline.study.digest import digest_of
from pipeline.study.handover import Best, Tuned, write_result
from pipeline.study.params import Params
from pipeline.study.study import Study
from pipeline.tracking.stage_run import StageRun
from pipeline.tracking.tracker import Tracker

AGAIN = "again"
"""Marks a trial whose point another one had, which ended but whose runs are gone; only that other one is counted."""


def restore(study: optuna.Study, params: Params, trials: dict[str, Trial], make_trial: MakeTrial, since: str) -> int:
    """Read known trials into ``trials`` and queue those that did not end; returns how many are to run.

    What failed after ``since``, when this command began, is not asked for again: it would fail again.
    """
    space = params.tune.space
    points = [] if own_trials(study) else [{k: encode(v) for k, v in point.items()} for point in params.tune.points]
    queue = [(point, False) for point in points]
    for cut in own_trials(study, TrialState.RUNNING):
        study.tell(cut.number, state=TrialState.FAIL)
    waiting = [trial.system_attrs["fixed_params"] for trial in own_trials(study, TrialState.WAITING)]
    ended, failed = 0, set[str]()
    for known in own_trials(study):
        if known.params and is_complete(space, known.params):
            trial = make_trial(known.params)
            complete = known.state == TrialState.COMPLETE
            if complete:
                _settle([trial], "pruned")  # the scheduler stopped it, and its worker had no time to say so
            if complete and trial.status in ("done", "pruned", "infeasible"):
                trials[trial.key] = trial
                ended += AGAIN not in known.user_attrs  # not len(trials): the sampler may suggest a point twice
            elif trial.failure(since):
                failed.add(trial.key)
            elif known.params not in (*(point for point, _ in queue), *waiting):
                queue.append((dict(known.params), complete))
    for point, again in queue:
        if point not in waiting and not (is_complete(space, point) and make_trial(point).key in trials):
            study.enqueue_trial(point, user_attrs={AGAIN: True} if again else None)
    return params.tune.trials - ended - len(failed)


def main(study: Study) -> None:
    """Run the stage."""
    study = with_share(study)
    params, manifest = study.params, study.manifest
    check_models(params)
    identity = identity_of(params, manifest)
    trials: dict[str, Trial] = {}
    tracker = Tracker.of(study)
    with _alone(study, identity), StageRun(tracker, "tune", identity, params.digestible) as parent:
        reports = parent.reports

        def make_trial(point: Point) -> Trial:
            runs = [run_of(params, manifest, point, replicate) for replicate in range(params.tune.seeds)]
            name = f"trial-{runs[0].key[:6]}"
            return Trial(dict(point), make_jobs(study, reports, [(name, run) for run in runs]))

        try:
            found = open_study(study, f"{params.study}-{identity}")
            _search(study, found, identity, trials, make_trial)
            _hand_on(study, found, trials, make_trial)
        finally:
            _settle(trials.values(), "interrupted")
            parent.children = {job.run.key: job.name for trial in trials.values() for job in trial.jobs}


@contextmanager
def _alone(study: Study, identity: str) -> Iterator[None]:
    """Hold the sweep, or wait for the process that does: two at once would take each other's trials for cut off.

    Two experiments of one project that differ after the search ask for the same one.
    """
    folder = study.runs / ".ray"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{identity}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("tune: another process runs this very search; its trials will be found when it ends.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def identity_of(params: Params, manifest: Manifest) -> str:
    """What makes two sweeps one: all but how many trials, how many at once, how long, and where."""
    sweep = params.digestible | dict.fromkeys(("train", "ablate", "evaluate", "resources", "cluster", "study"))
    limits = ("trials", "concurrent", "wall_hours", "gpu_hours")
    sweep["tune"] = {key: value for key, value in sweep["tune"].items() if key not in limits}
    sweep["recipe"] |= {"epochs": params.tune.epochs}
    if "latency" in params.tune.objectives:  # milliseconds of one device are not those of another
        sweep["resources"] = params.digestible["resources"]
    return digest_of([sweep, manifest.digest, training_source(params.model.name)])


def _settle(trials: Iterable[Trial], status: Status) -> None:
    """Give runs that no process holds any more their final status."""
    for trial in trials:
        for job in trial.jobs:
            job.folder.settle(status)


def _search(study: Study, found: optuna.Study, identity: str, trials: dict[str, Trial], make_trial: MakeTrial) -> None:
    """Run what is left of the sweep."""
    params, began = study.params, now()
    with (
        Progress("tune", params.tune.trials) as progress,
        closing(Budget(found, trials, params)) as budget,
        Failures() as failures,
    ):
        trials |= _asked(found, params, make_trial, TrialState.COMPLETE)
        for retries in (RETRIES, 0):  # Ray hears of some deaths twice; what it gave up is asked for once more
            ended: dict[str, Trial] = {}
            if budget.stop_all() or (remaining := restore(found, params, ended, make_trial, began)) <= 0:
                break
            scheduler = make_scheduler(params.tune)
            replay(scheduler, ended)
            names, several = list[str](params.tune.objectives), len(params.tune.objectives) > 1
            modes = ["max" if name == METRIC else "min" for name in names]
            searcher = Searcher(
                space=partial(suggest, params.tune.space),
                metric=names if several else METRIC,
                mode=modes if several else "max",
                sampler=make_sampler(params),
                study_name=found.study_name,
                storage=storage_of(study),
            )
            trial = trainable(make_trial, params, began)
            listener = Listener(progress, failures, trials, make_trial)
            with ray_session(params):
                tuner(study, identity, trial, searcher, scheduler, remaining, [listener], budget, retries).fit()
        if budget.stop_all():
            for cut in own_trials(found, TrialState.RUNNING):  # asked for again if the hours are raised
                found.tell(cut.number, state=TrialState.FAIL)
            _settle(trials.values(), "pruned")
        _settle(_asked(found, params, make_trial, TrialState.COMPLETE).values(), "pruned")
        trials |= _asked(found, params, make_trial)
        _settle(trials.values(), "interrupted")
        progress.finish([trial.row() for trial in trials.values()])


def _asked(found: optuna.Study, params: Params, make_trial: MakeTrial, *states: TrialState) -> dict[str, Trial]:
    """Trials that were asked for and ended in the study, in order, by key; a point suggested twice is there once.

    Where hours limit the sweep, those that never began are none.
    """
    known = own_trials(found, *(states or (TrialState.COMPLETE, TrialState.FAIL)))
    points = [trial.params for trial in known if trial.params and is_complete(params.tune.space, trial.params)]
    asked = {trial.key: trial for trial in map(make_trial, points)}
    return {key: trial for key, trial in asked.items() if not params.tune.limited or any(trial.records())}


def _heard(found: optuna.Study, params: Params, make_trial: MakeTrial) -> dict[str, dict[str, float]]:
    """What the search was told that networks take, by their trials' keys: a latency is that of the worker's device."""
    names = params.tune.objectives
    if len(names) == 1:
        return {}
    ended = [trial for trial in own_trials(found, TrialState.COMPLETE) if is_complete(params.tune.space, trial.params)]
    values = {make_trial(trial.params).key: dict(zip(names, trial.values, strict=True)) for trial in ended}
    return {key: {name: value for name, value in each.items() if name != METRIC} for key, each in values.items()}


def _hand_on(study: Study, found: optuna.Study, trials: Mapping[str, Trial], make_trial: MakeTrial) -> None:
    """Write ``results/tune.json``: all trials, the winner, the Pareto front, and what mattered.

    Raises:
        DATransNetError: if a trial failed, after all others ended.
    """
    params = study.params
    well = ("infeasible", "pruned", *(["waiting"] if params.tune.limited else []))  # hours end what has hardly begun
    report_failures("tune", [job for trial in trials.values() if trial.status not in well for job in trial.jobs])
    once = _asked(found, params, make_trial)
    heard = _heard(found, params, make_trial)
    rows = [describe(number, trial, params, heard.get(key)) for number, (key, trial) in enumerate(once.items())]
    complete = [row for row in rows if row.status == "done"]
    if not complete:
        raise DATransNetError("tune: no trial ran to its end. Raise tune.trials, tune.grace or the hours.")
    best = max(complete, key=lambda row: row.best_iou)
    run = once[best.key].jobs[0].run
    result = Tuned(
        best=Best(key=run.key, val_iou=best.best_iou, model=run.model, recipe=run.recipe),
        trials=rows,
        objectives=list(params.tune.objectives),
        importances=importances(found, len(params.tune.objectives)),
        pareto=[row.number for row in complete if not any(other.dominates(row) for other in complete)],
    )
    write_result(study.results / "tune.json", result)
