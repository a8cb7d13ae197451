"""A sweep: what is known of a search, what is still to be tried, and what came of it, over any number of starts.

What is known lies in two places that survive a kill: the run records, and Optuna's study
(`pipeline.search.optuna_study`). A start makes a new Tuner and hands both to it: trials that ended are not asked for
again, those cut off are asked for first and go on from their checkpoints, and the scheduler hears every recorded epoch
again (Ray does not restore its rungs). See docs/decisions/0003-resuming-a-search.md.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial

from filelock import FileLock, Timeout
from optuna.trial import TrialState

from datransnet.data.manifest import Manifest
from datransnet.errors import DATransNetError
from pipeline.console import Progress, say
from pipeline.parallel.jobs import report_failures
from pipeline.parallel.session import ray_session
from pipeline.runs.provenance import now
from pipeline.runs.run import training_source
from pipeline.search.budget import Budget
from pipeline.search.listening import Failures, Listener
from pipeline.search.optuna_study import OptunaStudy, importances, own_trials, storage_of
from pipeline.search.ray_tune import METRIC, RETRIES, Searcher, make_scheduler, replay, trainable, tuner
from pipeline.search.sampler import make_sampler
from pipeline.search.space import encode, is_complete, suggest
from pipeline.search.trial import MakeTrial, Trial, describe
from pipeline.study.digest import digest_of
from pipeline.study.handover import Best, Tuned
from pipeline.study.params import Params
from pipeline.study.status import Status
from pipeline.study.study import Study

AGAIN = "again"
"""Set on a trial that repeats an ended one because the folders of its runs were deleted. It is not counted towards
``tune.trials``."""


def identity_of(params: Params, manifest: Manifest) -> str:
    """A digest of everything that decides the course of a sweep: two sweeps with the same digest are the same sweep.

    The number of trials, how many run at once, the hours and the machine do not count, so they may be changed between
    two starts. If latency is an objective, the resources do count.
    """
    sweep = params.digestible | dict.fromkeys(("train", "ablate", "evaluate", "resources", "cluster", "study"))
    limits = ("trials", "concurrent", "wall_hours", "gpu_hours")
    sweep["tune"] = {key: value for key, value in sweep["tune"].items() if key not in limits}
    sweep["recipe"] |= {"epochs": params.tune.epochs}
    if "latency" in params.tune.objectives:  # milliseconds of one device are not those of another
        sweep["resources"] = params.digestible["resources"]
    return digest_of([sweep, manifest.digest, training_source(params.model.name)])


@contextmanager
def alone(study: Study, identity: str) -> Iterator[None]:
    """Lock a sweep for the duration of the block, waiting while another process holds the lock.

    Without the lock, two processes would each take the running trials of the other for interrupted ones. They meet
    here if two experiments of a project have the same search and differ only in later stages.
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


@dataclass
class Sweep:
    """A sweep.

    Attributes:
        params: of the study.
        memory: Optuna's study, in which the sweep's trials are.
        make_trial: what makes a trial, with its runs, from a point.
        trials: those that this start has met, by key.
    """

    params: Params
    memory: OptunaStudy
    make_trial: MakeTrial
    trials: dict[str, Trial] = field(default_factory=dict)

    def run(self, study: Study, identity: str) -> None:
        """Run what is left of it, until its trials have ended or its hours are spent.

        Raises:
            DATransNetError: if a trial failed, after all others ended.
        """
        params, began = self.params, now()
        with (
            Progress("tune", params.tune.trials) as progress,
            closing(Budget(self.memory, self.trials, params)) as budget,
            Failures() as failures,
        ):
            self.trials |= self.asked(TrialState.COMPLETE)
            for retries in (RETRIES, 0):  # Ray hears of some deaths twice; what it gave up is asked for once more
                if budget.stop_all():
                    break
                remaining, ended = self.restore(began)
                if remaining <= 0:
                    break
                scheduler = make_scheduler(params.tune)
                replay(scheduler, ended)
                trial, searcher = trainable(self.make_trial, params, began), self._searcher(study)
                listener = Listener(progress, failures, self.trials, self.make_trial)
                with ray_session(params):
                    tuner(study, identity, trial, searcher, scheduler, remaining, [listener], budget, retries).fit()
            if budget.stop_all():
                for cut in own_trials(self.memory, TrialState.RUNNING):  # asked for again if the hours are raised
                    self.memory.tell(cut.number, state=TrialState.FAIL)
                _settle(self.trials.values(), Status.PRUNED)
            _settle(self.asked(TrialState.COMPLETE).values(), Status.PRUNED)
            self.trials |= self.asked()
            self.settle()
            progress.finish([trial.row() for trial in self.trials.values()])
        well = [Status.INFEASIBLE, Status.PRUNED]
        if params.tune.limited:  # when the hours were spent, some trials were asked for and had not begun
            well.append(Status.WAITING)
        unwell = [trial for trial in self.trials.values() if trial.status not in well]
        report_failures("tune", [job for trial in unwell for job in trial.jobs])

    def _searcher(self, study: Study) -> Searcher:
        """Optuna as Ray asks it."""
        names, several = list[str](self.params.tune.objectives), len(self.params.tune.objectives) > 1
        modes = ["max" if name == METRIC else "min" for name in names]
        return Searcher(
            space=partial(suggest, self.params.tune.space),
            metric=names if several else METRIC,
            mode=modes if several else "max",
            sampler=make_sampler(self.params),
            study_name=self.memory.study_name,
            storage=storage_of(study),
        )

    def trainings(self) -> dict[str, str]:
        """Names of the trials that this start has met, by the keys of their runs."""
        # A copy, since the thread that follows the trainings asks while trials are added.
        return {job.run.key: job.name for trial in list(self.trials.values()) for job in trial.jobs}

    def settle(self) -> None:
        """Record as interrupted every run that is recorded as running and that no process trains any more."""
        _settle(self.trials.values(), Status.INTERRUPTED)

    def restore(self, since: str) -> tuple[int, dict[str, Trial]]:
        """Queue the trials that did not end; return the number of trials still to run, and the ended trials by key.

        A trial that failed at or after ``since``, the time this command began, is not queued: it would fail again.
        """
        memory, plan = self.memory, self.params.tune
        points = [] if own_trials(memory) else [{k: encode(v) for k, v in point.items()} for point in plan.points]
        queue = [(point, False) for point in points]
        for cut in own_trials(memory, TrialState.RUNNING):
            memory.tell(cut.number, state=TrialState.FAIL)
        waiting = [trial.system_attrs["fixed_params"] for trial in own_trials(memory, TrialState.WAITING)]
        ended, failed, counted = dict[str, Trial](), set[str](), 0
        for known in own_trials(memory):
            if known.params and is_complete(plan.space, known.params):
                trial = self.make_trial(known.params)
                complete = known.state == TrialState.COMPLETE
                if complete:
                    _settle([trial], Status.PRUNED)  # the scheduler stopped it; its worker had no time to say so
                if complete and (trial.status.well or trial.status is Status.INFEASIBLE):
                    ended[trial.key] = trial
                    counted += AGAIN not in known.user_attrs  # not len(ended): a sampler may suggest a point twice
                elif trial.failure(since):
                    failed.add(trial.key)
                elif known.params not in (*(point for point, _ in queue), *waiting):
                    queue.append((dict(known.params), complete))
        for point, again in queue:
            if point not in waiting and not (is_complete(plan.space, point) and self.make_trial(point).key in ended):
                memory.enqueue_trial(point, user_attrs={AGAIN: True} if again else None)
        return plan.trials - counted - len(failed), ended

    def asked(self, *states: TrialState) -> dict[str, Trial]:
        """Ended trials in their order, by key; a point that was suggested twice appears once.

        Where hours limit the sweep, trials that never began are left out.
        """
        known = own_trials(self.memory, *(states or (TrialState.COMPLETE, TrialState.FAIL)))
        space = self.params.tune.space
        points = [trial.params for trial in known if trial.params and is_complete(space, trial.params)]
        asked = {trial.key: trial for trial in map(self.make_trial, points)}
        return {key: trial for key, trial in asked.items() if not self.params.tune.limited or any(trial.records())}

    def _heard(self) -> dict[str, dict[str, float]]:
        """What the search was told that networks take, by their trials' keys.

        A latency is that of the device of the worker that measured it.
        """
        names, space = self.params.tune.objectives, self.params.tune.space
        if len(names) == 1:
            return {}
        ended = [trial for trial in own_trials(self.memory, TrialState.COMPLETE) if is_complete(space, trial.params)]
        values = {self.make_trial(trial.params).key: dict(zip(names, trial.values, strict=True)) for trial in ended}
        return {key: {name: value for name, value in each.items() if name != METRIC} for key, each in values.items()}

    def result(self) -> Tuned:
        """What is handed on: all trials, the winner, the Pareto front, and what mattered.

        Raises:
            DATransNetError: if no trial was trained to its end.
        """
        asked, heard, plan = self.asked(), self._heard(), self.params.tune
        rows = [describe(n, trial, self.params, heard.get(key)) for n, (key, trial) in enumerate(asked.items())]
        complete = [row for row in rows if row.status is Status.DONE]
        if not complete:
            raise DATransNetError("tune: no trial ran to its end. Raise tune.trials, tune.grace or the hours.")
        best = max(complete, key=lambda row: row.best_iou)
        run = asked[best.key].jobs[0].run
        return Tuned(
            best=Best(key=run.key, val_iou=best.best_iou, model=run.model, recipe=run.recipe),
            trials=rows,
            objectives=list(plan.objectives),
            importances=importances(self.memory, len(plan.objectives)),
            pareto=[row.number for row in complete if not any(other.dominates(row) for other in complete)],
        )


def _settle(trials: Iterable[Trial], status: Status) -> None:
    """Give runs that no process holds any more their final status."""
    for trial in trials:
        for job in trial.jobs:
            job.folder.settle(status)
