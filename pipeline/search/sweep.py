"""A sweep: a search from its first start to its result, over any number of starts, machines and kills."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from datransnet.data.manifest import Manifest
from datransnet.errors import DATransNetError
from datransnet.seeding import derive_seed
from pipeline.console import Progress, say
from pipeline.parallel.jobs import report_failures
from pipeline.parallel.session import ray_session
from pipeline.runs.provenance import now
from pipeline.runs.run import identifying, training_source
from pipeline.search.budget import Budget
from pipeline.search.course import Course
from pipeline.search.ending import Ending
from pipeline.search.importance import importances
from pipeline.search.listening import Failures, Listener
from pipeline.search.memory import Memory
from pipeline.search.ray_tune import Legs, trainable, tuner
from pipeline.search.sampler import Sampler
from pipeline.search.schedule import Schedule
from pipeline.search.trial import MakeTrial, describe
from pipeline.study.digest import digest_of
from pipeline.study.handover import Best, TrialResult, Tuned
from pipeline.study.params import Params
from pipeline.study.status import Status
from pipeline.study.study import Study


def identity_of(params: Params, manifest: Manifest) -> str:
    """A digest of everything that decides the course of a sweep: two sweeps with the same digest are the same sweep.

    The number of trials, how many run at once, the hours and the machine do not count, so they may be changed between
    two starts. If latency is an objective, the resources do count.
    """
    sweep = params.digestible | dict.fromkeys(("train", "ablate", "evaluate", "resources", "cluster", "study"))
    limits = ("trials", "concurrent", "wall_hours", "gpu_hours")
    sweep["tune"] = {key: value for key, value in sweep["tune"].items() if key not in limits}
    sweep["recipe"] |= {"epochs": params.tune.epochs}
    sweep["model"] = identifying(sweep["model"])
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
        course: what is trained, and what came of it.
    """

    params: Params
    course: Course

    @classmethod
    def of(cls, study: Study, memory: Memory, make_trial: MakeTrial) -> "Sweep":
        """The sweep of a study."""
        params = study.params
        schedule = Schedule.of(params.tune, params.recipe.validate_every)
        sampler = Sampler.of(params, len(schedule.rungs), memory.earlier)
        ending = Ending(params.tune.space, len(schedule.rungs), params.tune.least_gain, derive_seed(params.seed, "end"))
        return cls(params, Course(schedule, sampler, ending, params.tune.signal, memory, make_trial, now()))

    def run(self, study: Study, identity: str) -> None:
        """Run what is left of it, until its trials have ended or its hours are spent.

        Raises:
            DATransNetError: if a trial failed, after all others ended.
        """
        course, plan = self.course, self.params.tune
        if course.schedule.waits and plan.round_size < plan.concurrent:
            say(
                f"tune: rounds of {plan.round_size} trials leave some of {plan.concurrent} places idle: tune.round_size"
            )
        with (
            Progress("tune", plan.trials) as progress,
            closing(Budget(course.memory, course.trials, self.params)) as budget,
            Failures() as failures,
        ):
            if not (budget.stop_all() or course.over):
                trial, legs = trainable(course.make_trial, self.params, course.since), Legs(course, plan.objectives[1:])
                listener = Listener(progress, failures, course.trials, course.make_trial)
                with ray_session(self.params):
                    tuner(study, identity, trial, legs, listener, budget).fit()
            self._settle(Status.PRUNED if budget.stop_all() else Status.INTERRUPTED)
            course.memory.close(course.standings, course.schedule.rungs)
            progress.finish([trial.row() for trial in course.trials])
        meant = [
            (job, standing)
            for trial, standing in zip(course.trials, course.standings, strict=True)
            if trial.status is not Status.INFEASIBLE
            for job in trial.jobs
        ]
        # When the hours were spent, some were asked for and had not begun; that is no failure.
        report_failures("tune", [job for job, standing in meant if standing.out or job.folder.read()])

    def trainings(self) -> dict[str, str]:
        """Names of the trials so far, by the keys of their runs."""
        # A copy, since the thread that follows the trainings asks while trials are added.
        return {job.run.key: job.name for trial in list(self.course.trials) for job in trial.jobs}

    def settle(self) -> None:
        """Record as interrupted every run that is recorded as running and that no process trains any more."""
        self._settle(Status.INTERRUPTED)

    def _settle(self, status: Status) -> None:
        for trial in self.course.trials:
            for job in trial.jobs:
                job.folder.settle(status)

    def result(self) -> Tuned:
        """What is handed on: all trials, the winner, the Pareto front, and what mattered.

        Raises:
            DATransNetError: if no trial was trained to its end.
        """
        course, plan = self.course, self.params.tune
        rows: dict[str, TrialResult] = {}
        for number, (trial, standing) in enumerate(zip(course.trials, course.standings, strict=True)):
            earlier = rows.get(trial.key)  # a point that was suggested twice has one line
            if not any(trial.records()) or (earlier and earlier.epochs >= course.epochs(number) * len(trial.jobs)):
                continue
            costs = standing.costs or trial.costs(plan.objectives)
            place = earlier.number if earlier else len(rows)
            rows[trial.key] = describe(place, trial, course.ended(number), course.epochs(number), costs)
        complete = [row for row in rows.values() if row.status is Status.DONE]
        if not complete:
            raise DATransNetError("tune: no trial ran to its end. Raise tune.trials or the hours.")
        best = max(complete, key=lambda row: row.best_iou)
        run = next(trial for trial in course.trials if trial.key == best.key).jobs[0].run
        return Tuned(
            best=Best(key=run.key, val_iou=best.best_iou, model=run.model, recipe=run.recipe),
            trials=list(rows.values()),
            objectives=list(plan.objectives),
            importances=importances(plan.space, course.standings),
            pareto=[row.number for row in complete if not any(other.dominates(row) for other in complete)],
        )
