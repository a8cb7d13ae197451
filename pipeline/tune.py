"""Stage tune: a search with Optuna's TPE and Ray Tune's ASHA, resumable at any moment.

What is known lies in two places that survive a kill: the run records, and Optuna's study in ``runs/search.db``. The
stage starts a new Tuner each time and hands both to it: trials that ended are not asked for again, those cut off are
asked for first and go on from their checkpoints, and ASHA hears every recorded epoch again (Ray does not restore its
rungs). See docs/decisions/0003-resuming-a-search.md.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search.optuna import OptunaSearch

from datransnet.data.manifest import Manifest
from datransnet.errors import DATransNetError
from datransnet.seeding import derive_seed
from pipeline.support.cluster import ray_session, report_failures, row_of
from pipeline.support.console import Progress
from pipeline.support.networks import check_models
from pipeline.support.params import Choice, Interval, Params
from pipeline.support.paths import Study
from pipeline.support.records import Run, digest_of, plan, training_source
from pipeline.support.stages import make_jobs, read_manifest, write_result
from pipeline.support.tracking import Tracker
from pipeline.support.training import Job, execute

METRIC = "best_iou"

MakeJob = Callable[[Mapping[str, Any]], Job]


def encode(value: Any) -> Any:
    """A choice as Optuna stores it: scalars as they are, lists as JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def distribution(dimension: Choice | Interval) -> BaseDistribution:
    """Optuna's distribution of a dimension of the space."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution([encode(value) for value in dimension.choice])
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def run_of(params: Params, manifest: Manifest, point: Mapping[str, Any]) -> Run:
    """The run of a point of the space."""
    model = params.model.arguments()
    recipe: dict[str, Any] = {"epochs": params.tune.epochs}
    for key, value in point.items():
        dimension = params.tune.space[key]
        if isinstance(dimension, Choice):
            value = {encode(choice): choice for choice in dimension.choice}[value]
        section, _, name = key.partition(".")
        (model if section == "model" else recipe)[name] = value
    return plan(params, manifest, model, replace(params.recipe, **recipe), replicate=0)


class SeededByPosition(BaseSampler):
    """TPE whose choice for the n-th trial depends on the seed, n, and the trials before, not on how often it restarted.

    A trial that was cut off is failed and queued again, so n counts the trials that did not fail.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._current: tuple[int, BaseSampler] = (-1, TPESampler())

    def _sampler(self, study: optuna.Study, trial: FrozenTrial) -> BaseSampler:
        if self._current[0] != trial.number:
            earlier = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number]
            position = sum(t.state != TrialState.FAIL for t in earlier)
            self._current = (trial.number, TPESampler(seed=derive_seed(self.seed, "trial", position)))
        return self._current[1]

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As TPE."""
        return self._sampler(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As TPE."""
        return self._sampler(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As TPE."""
        return self._sampler(study, trial).sample_independent(study, trial, param_name, param_distribution)


class Searcher(OptunaSearch):
    """Optuna as Ray's searcher; a failed trial is a failed one, whatever it reported before."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna how a trial ended."""
        super().on_trial_complete(trial_id, None if error else result, error)


class Listener(tune.Callback):
    """Shows the trials' records while Ray works."""

    def __init__(self, progress: Progress, jobs: Mapping[str, Job], make_job: MakeJob) -> None:
        self.progress, self.jobs, self.make_job = progress, dict(jobs), make_job
        self._last = 0.0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Add a trial to the table."""
        job = self.make_job(trial.config)
        self.jobs[job.run.key] = job

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Refresh the table, at most once a second."""
        if time.monotonic() - self._last > 1:
            self._last = time.monotonic()
            self.progress.update([row_of(job, job.folder.read()) for job in self.jobs.values()])


def restore(study: optuna.Study, params: Params, jobs: dict[str, Job], make_job: MakeJob) -> int:
    """Read an earlier start's trials into ``jobs`` and queue those that did not end; returns how many are to run."""
    queue = [] if study.trials else [{k: encode(v) for k, v in point.items()} for point in params.tune.points]
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    waiting = [trial.system_attrs["fixed_params"] for trial in study.get_trials(states=(TrialState.WAITING,))]
    ended = 0
    for trial in study.get_trials(deepcopy=False):
        if len(trial.params) == len(params.tune.space):
            job = make_job(trial.params)
            record = job.folder.read()
            if trial.state == TrialState.COMPLETE and record and record.status in ("done", "pruned"):
                jobs[job.run.key] = job
                ended += 1  # not len(jobs): the sampler may suggest a point twice
            elif trial.params not in (*queue, *waiting):
                queue.append(dict(trial.params))
    for point in queue:
        if point not in waiting and make_job(point).run.key not in jobs:
            study.enqueue_trial(point)
    return params.tune.trials - ended


def replay(scheduler: AsyncHyperBandScheduler, jobs: Mapping[str, Job]) -> None:
    """Let ASHA hear every epoch of the trials that ended before; of a trial it only reads the id."""
    nobody: Any = None
    for key, job in jobs.items():
        trial: Any = SimpleNamespace(trial_id=key)
        scheduler.on_trial_add(nobody, trial)
        record = job.folder.read()
        for metrics in record.history if record else []:
            result = {"training_iteration": metrics["epoch"], METRIC: metrics["best_iou"]}
            scheduler.on_trial_result(nobody, trial, result)
        scheduler.on_trial_remove(nobody, trial)


def main(study: Study) -> None:
    """Run the stage."""
    params, manifest = study.params, read_manifest(study)
    check_models(params)
    sweep = params.digestible | {"train": None, "ablate": None, "evaluate": None, "resources": None, "study": None}
    sweep["tune"] = {key: value for key, value in sweep["tune"].items() if key not in ("trials", "concurrent")}
    sweep["recipe"] |= {"epochs": params.tune.epochs}
    identity = digest_of([sweep, manifest.digest, training_source(params.model.name)])
    tracker = Tracker.of(study, manifest.digest)
    parent = tracker.open_stage("tune", identity, params.digestible)
    jobs: dict[str, Job] = {}

    def make_job(point: Mapping[str, Any]) -> Job:
        run = run_of(params, manifest, point)
        return make_jobs(study, "tune", tracker, parent, [(f"trial-{run.key[:6]}", run)])[0]

    failed = True
    try:
        found = _open(study, identity)
        _search(study, found, identity, jobs, make_job)
        _hand_on(study, found, jobs, make_job)
        failed = False
    finally:
        for job in jobs.values():
            if (record := job.folder.settle("interrupted")) is not None:
                job.send(record)
        tracker.close_stage(parent, failed)


def _open(study: Study, identity: str) -> optuna.Study:
    """Optuna's study of this sweep, made or found again."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study.runs.mkdir(parents=True, exist_ok=True)
    return optuna.create_study(
        storage=_storage(study),
        study_name=f"{study.params.study}-{identity}",
        direction="maximize",
        sampler=SeededByPosition(derive_seed(study.params.seed, "search")),
        load_if_exists=True,
    )


def _storage(study: Study) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(f"sqlite:///{study.runs / 'search.db'}")


def _search(study: Study, found: optuna.Study, identity: str, jobs: dict[str, Job], make_job: MakeJob) -> None:
    """Run what is left of the sweep."""
    params = study.params
    remaining = restore(found, params, jobs, make_job)
    with Progress("tune", params.tune.trials) as progress:
        if remaining > 0:
            scheduler = AsyncHyperBandScheduler(
                metric=METRIC,
                mode="max",
                max_t=params.tune.epochs + 1,  # a trial's last epoch ends it by itself
                grace_period=params.tune.grace,
                reduction_factor=params.tune.reduction,
            )
            replay(scheduler, jobs)
            searcher = Searcher(
                space={key: distribution(dimension) for key, dimension in params.tune.space.items()},
                metric=METRIC,
                mode="max",
                sampler=SeededByPosition(derive_seed(params.seed, "search")),
                study_name=found.study_name,
                storage=_storage(study),
            )

            def trial(config: dict[str, Any]) -> None:
                for metrics in execute(make_job(config)):
                    tune.report({METRIC: metrics["best_iou"]})

            with ray_session(params.resources):
                _tuner(study, identity, trial, searcher, scheduler, remaining, Listener(progress, jobs, make_job)).fit()
        ended = {job.run.key: job for job in map(make_job, _points(found, params))}
        for job in ended.values():
            if (record := job.folder.settle("pruned")) is not None:
                job.send(record)
        jobs |= ended
        progress.finish([row_of(job, job.folder.read()) for job in jobs.values()])


def _points(found: optuna.Study, params: Params) -> list[dict[str, Any]]:
    """Points of all trials that were asked for, in order."""
    trials = found.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL))
    return [trial.params for trial in trials if len(trial.params) == len(params.tune.space)]


def _tuner(
    study: Study,
    identity: str,
    trial: Any,
    searcher: Searcher,
    scheduler: AsyncHyperBandScheduler,
    remaining: int,
    listener: Listener,
) -> tune.Tuner:
    """Ray's Tuner; what it stores serves nobody later, so it starts empty each time."""
    params = study.params
    storage = study.runs / ".ray"
    shutil.rmtree(storage / identity, ignore_errors=True)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    return tune.Tuner(
        tune.with_resources(trial, {"cpu": params.resources.cpus, "gpu": params.resources.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=remaining,
            max_concurrent_trials=params.tune.concurrent,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name=identity, storage_path=str(storage), callbacks=[listener], verbose=0),
    )


def _hand_on(study: Study, found: optuna.Study, jobs: Mapping[str, Job], make_job: MakeJob) -> None:
    """Write ``results/tune.json``: all trials and the winner.

    Raises:
        DATransNetError: if a trial failed, after all others ended.
    """
    report_failures("tune", list(jobs.values()))
    rows: list[dict[str, Any]] = []
    for point in _points(found, study.params):
        job = make_job(point)
        record = job.folder.read()
        if record is not None and all(row["key"] != job.run.key for row in rows):
            rows.append(
                {
                    "number": len(rows),
                    "key": job.run.key,
                    "status": record.status,
                    "epochs": len(record.history),
                    "best_iou": record.best_iou,
                    "point": point,
                    "history": [epoch["best_iou"] for epoch in record.history],
                }
            )
    complete = [row for row in rows if row["status"] == "done"]
    if not complete:
        raise DATransNetError("tune: no trial ran to its end. Raise tune.trials or tune.grace.")
    best = max(complete, key=lambda row: row["best_iou"])
    run = run_of(study.params, read_manifest(study), best["point"])
    chosen = {"key": run.key, "val_iou": best["best_iou"], "model": run.model, "recipe": asdict(run.recipe)}
    write_result(study.results / "tune.json", {"best": chosen, "trials": rows})
