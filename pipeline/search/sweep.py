"""Sweeps: searches from their first start to their results, over any number of starts, machines and kills."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from datransnet.data.manifest import Manifest
from datransnet.engine.recipe import Recipe
from datransnet.errors import DATransNetError, ParameterError
from datransnet.seeding import derive_seed
from pipeline.console import Progress, say
from pipeline.parallel.jobs import report_failures
from pipeline.parallel.session import ray_session
from pipeline.parallel.train_stage import make_jobs
from pipeline.runs.execute import Job
from pipeline.runs.provenance import now
from pipeline.runs.run import Called, identifying, training_source
from pipeline.search.budget import Budget
from pipeline.search.course import Course
from pipeline.search.ending import Ending
from pipeline.search.importance import importances
from pipeline.search.listening import Failures, Listener
from pipeline.search.memory import Memory, open_memory
from pipeline.search.ray_tune import Legs, trainable, tuner
from pipeline.search.sampler import Sampler
from pipeline.search.schedule import Schedule
from pipeline.search.space import Point
from pipeline.search.trial import MakeTrial, Trial, describe, run_of
from pipeline.study.arguments import Arguments
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
    other = ("train", "ablate", "evaluate", "resources", "cluster", "study", "networks", "subject")
    sweep = params.digestible | dict.fromkeys(other)
    limits = ("trials", "concurrent", "wall_hours", "gpu_hours")
    sweep["tune"] = {key: value for key, value in sweep["tune"].items() if key not in limits}
    sweep["recipe"] |= {"epochs": params.tune.epochs}
    sweep["model"] = identifying(sweep["model"])
    if "latency" in params.tune.objectives:  # milliseconds of one device are not those of another
        sweep["resources"] = params.digestible["resources"]
    return digest_of([sweep, manifest.digest, training_source(params.model.name)])


@contextmanager
def alone(study: Study, identity: str, patience: float = 0.0) -> Iterator[None]:
    """Lock a sweep for the duration of the block, waiting while another process holds the lock.

    After ``patience`` seconds a person is told.

    Without the lock, two processes would each take the running trials of the other for interrupted ones. They meet
    here if two experiments of a project have the same search and differ only in later stages.
    """
    folder = study.runs / ".ray"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{identity}.lock")
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        say("tune: another process runs this very search; its trials will be found when it ends.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass
class Sweep:
    """The sweep of one network.

    Attributes:
        params: of that network.
        course: what is trained, and what came of it.
    """

    params: Params
    course: Course

    @classmethod
    def of(cls, params: Params, memory: Memory, make_trial: MakeTrial) -> "Sweep":
        """The sweep of a network with its parameters."""
        schedule = Schedule.of(params.tune, params.recipe.validate_every)
        sampler = Sampler.of(params, len(schedule.rungs), memory.earlier)
        ending = Ending(params.tune.space, len(schedule.rungs), params.tune.least_gain, derive_seed(params.seed, "end"))
        return cls(params, Course(schedule, sampler, ending, params.tune.signal, memory, make_trial, now()))

    def close(self, spent: bool) -> None:
        """Record what its trials came to when nothing trains any more; ``spent`` if hours have ended it.

        A trial that has come as far as it was sent has ended well, although its process may have been killed before it
        could say so; one whose process was lost again and again has not.
        """
        for trial, standing in zip(self.course.trials, self.course.standings, strict=True):
            well = spent or (standing.arrived and not standing.out)
            for job in trial.jobs:
                job.folder.settle(Status.PRUNED if well else Status.INTERRUPTED)
        self.course.memory.close(self.course.standings, self.course.schedule.rungs)

    @property
    def ended(self) -> list[Job]:
        """The runs that should have ended well.

        When the hours were spent, some were asked for and had not begun; that is no failure.
        """
        return [
            job
            for trial, standing in zip(self.course.trials, self.course.standings, strict=True)
            if trial.status is not Status.INFEASIBLE
            for job in trial.jobs
            if standing.out or job.folder.read()
        ]

    def trainings(self) -> dict[str, Called]:
        """What the trials so far are called, by the keys of their runs."""
        # A copy, since the thread that follows the trainings asks while trials are added.
        jobs = [job for trial in list(self.course.trials) for job in trial.jobs]
        return {job.run.key: Called(job.name, job.network) for job in jobs}

    def settle(self, status: Status = Status.INTERRUPTED) -> None:
        """Record as interrupted every run that is recorded as running and that no process trains any more."""
        for trial in self.course.trials:
            for job in trial.jobs:
                job.folder.settle(status)

    @property
    def decided(self) -> bool:
        """Whether it is known what it chooses: all is trained, or there is a single trial to choose from."""
        return self.course.over or self.params.tune.trials == 1

    @property
    def choice(self) -> tuple[Arguments, Recipe]:
        """Network and recipe that it chooses, once it is `decided`.

        Raises:
            DATransNetError: if no trial was trained to its end.
        """
        if self.course.over:
            best = self.result().best
            return best.model, best.recipe
        only = self.course.trials[0].jobs[0].run
        return only.model, only.recipe

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


def sweeps_of(study: Study) -> dict[str, Sweep]:
    """The sweep of each network of a study, by its name, with what earlier starts have left.

    Raises:
        ParameterError: if two networks are one.
    """
    params, found, names = study.params, dict[str, Sweep](), dict[str, str]()
    for name, own in params.by_network.items():
        identity = identity_of(own, study.manifest)
        if identity in names:
            raise ParameterError(f"networks: {names[identity]} and {name} are the same network: leave one out.")
        names[identity] = name
        memory = open_memory(study, own.tune, f"{params.study}-{identity}")
        found[name] = Sweep.of(own, memory, _trials(study, name, own))
    return found


def _trials(study: Study, network: str, params: Params) -> MakeTrial:
    """What makes the trials of one network."""

    def make(point: Point) -> Trial:
        runs = [run_of(params, study.manifest, point, replicate) for replicate in range(params.tune.seeds)]
        name = f"trial-{runs[0].key[:6]}"
        return Trial(dict(point), make_jobs(study, [(network, name, run) for run in runs]))

    return make


def run_sweeps(study: Study, sweeps: Mapping[str, Sweep], identity: str) -> None:
    """Run what is left of some sweeps, until their trials have ended or their hours are spent.

    Where hours end a sweep, networks are searched one after another, so that each has the machines for its hours. Else
    they are searched together, and whatever waits for its round leaves its place to another network's trials.

    Args:
        study: whose networks they are of.
        sweeps: by the network's name.
        identity: of all of them together.

    Raises:
        DATransNetError: if a trial failed, after all others ended.
    """
    plan = study.params.tune
    rounds = plan.round_size * len(sweeps)
    if plan.concurrent > rounds and any(sweep.course.schedule.waits for sweep in sweeps.values()):
        say(f"tune: rounds of {rounds} trials leave some of {plan.concurrent} places idle: tune.round_size")
    one_by_one = [{name: sweep} for name, sweep in sweeps.items()]
    with Progress("tune", plan.trials * len(sweeps)) as progress, Failures() as failures:
        for group in one_by_one if plan.limited else [dict(sweeps)]:
            _run_group(study, group, identity, progress, failures)
        progress.finish([trial.row() for sweep in sweeps.values() for trial in sweep.course.trials])
    report_failures("tune", [job for sweep in sweeps.values() for job in sweep.ended])


def _run_group(
    study: Study, sweeps: Mapping[str, Sweep], identity: str, progress: Progress, failures: Failures
) -> None:
    """Run sweeps that train at the same time."""
    courses = {name: sweep.course for name, sweep in sweeps.items()}
    with ExitStack() as kept:
        budgets = [
            kept.enter_context(closing(Budget(sweep.course.memory, sweep.course.trials, sweep.params)))
            for sweep in sweeps.values()
        ]

        def spent() -> bool:
            return True in [budget.stop_all() for budget in budgets]  # all are asked, for each keeps its own account

        if not spent() and not all(course.over for course in courses.values()):
            costs = study.params.tune.objectives[1:]
            legs, listener = Legs(courses, costs), Listener(progress, failures, courses)
            with ray_session(study.params):
                tuner(study, identity, trainable(courses, costs), legs, listener, budgets).fit()
        for sweep in sweeps.values():
            sweep.close(spent())
