"""Ray Tune, and what it is given: who suggests points, who stops trials early, who counts hours, who tells."""

import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from datransnet.errors import DATransNetError, TrainingError
from pipeline.support.cluster import cluster_use
from pipeline.support.console import Progress
from pipeline.support.params import Params
from pipeline.support.paths import Study
from pipeline.support.search import OptunaStudy
from pipeline.support.search_params import Tune
from pipeline.support.trial import MakeTrial, Trial, side_by_side

METRIC = "iou"
"""What is maximised: the validation IoU of a trial's best epoch so far, mean over its seeds."""
ACCOUNT_SECONDS = 10.0
"""Between two entries of the time a sweep has taken."""
RETRIES = 3
"""How often Ray starts a trial again whose process or node died."""


class Searcher(OptunaSearch):
    """Optuna as Ray's searcher; a failed trial is a failed one, whatever it reported before."""

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: epochs are in the records, no pruner of Optuna's reads them, and its database is slow."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna how a trial ended."""
        super().on_trial_complete(trial_id, None if error else result, error)


class Budget(tune.Stopper):
    """Ends a sweep whose hours are spent; hours of earlier starts count."""

    def __init__(self, found: OptunaStudy, trials: Mapping[str, Trial], params: Params) -> None:
        self.found, self.trials, self.params = found, trials, params
        self.before = float(found.user_attrs.get("seconds", 0))
        self.started, self.entered, self.gpu_seconds = time.monotonic(), -math.inf, 0.0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped by it."""
        return False

    def stop_all(self) -> bool:
        """Whether the hours are spent."""
        plan, moment = self.params.tune, time.monotonic()
        spent = self.before + moment - self.started
        if moment - self.entered > ACCOUNT_SECONDS:
            self.entered = moment
            self.found.set_user_attr("seconds", spent)
            if plan.gpu_hours is not None:
                self.gpu_seconds = self._gpu_seconds()
        if plan.wall_hours is not None and spent > 3600 * plan.wall_hours:
            return True
        return plan.gpu_hours is not None and self.gpu_seconds > 3600 * plan.gpu_hours

    def _gpu_seconds(self) -> float:
        """Seconds of GPUs that all epochs took; a fraction of a GPU counts as that."""
        records = [record for trial in self.trials.values() for record in trial.records() if record]
        return self.params.resources.share * sum(epoch["seconds"] for record in records for epoch in record.history)

    def close(self) -> None:
        """Enter the time."""
        self.found.set_user_attr("seconds", self.before + time.monotonic() - self.started)


class Listener(tune.Callback):
    """Shows the trials while Ray works."""

    def __init__(
        self, progress: Progress, failures: "Failures", trials: dict[str, Trial], make_trial: MakeTrial
    ) -> None:
        self.progress, self.failures, self.trials, self.make_trial = progress, failures, trials, make_trial
        self._due = 0.0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Add a trial to the table."""
        found = self.make_trial(trial.config)
        self.trials[found.key] = found
        self.failures.names[str(trial)] = found.jobs[0].name

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Refresh the table, at most once a second, and for at most a twentieth of the time."""
        started = time.monotonic()
        if started > self._due:
            self.progress.update([trial.row() for trial in self.trials.values()], cluster_use())
            self._due = time.monotonic() + max(1.0, 20 * (time.monotonic() - started))


class Failures(logging.Filter):
    """Ray's log of a search while it is a context: trials that fail, each reason once, in a line where one suffices.

    Attributes:
        names: what trials are called, by what Ray calls them.
    """

    LOGS = ("ray.tune.execution.tune_controller", "ray.tune.tune")

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        self._told = set[str]()

    def __enter__(self) -> "Failures":
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        for name in self.LOGS:
            logging.getLogger(name).addFilter(self)
        return self

    def __exit__(self, *ended: object) -> None:
        for name in self.LOGS:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether Ray's line is new; what the run's record says, or a death, needs no traceback."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, RayError):
            return "Trials did not complete" not in record.msg  # the stage ends with their reasons
        cause = error.cause if isinstance(error, RayTaskError) else error
        name = next((name for known, name in self.names.items() if record.msg.endswith(f" {known}")), "a trial")
        text = f"{name}: {str(cause).splitlines()[0]}"
        if isinstance(cause, DATransNetError | RayActorError):
            record.msg, record.exc_info = text, None
        new = text not in self._told
        self._told.add(text)
        return new


def make_scheduler(plan: Tune) -> TrialScheduler:
    """Who stops poor trials early."""
    if plan.scheduler == "asha":
        return AsyncHyperBandScheduler(
            metric=METRIC,
            mode="max",
            max_t=plan.epochs + 1,  # a trial's last epoch ends it by itself
            grace_period=plan.grace,
            reduction_factor=plan.reduction,
        )
    if plan.scheduler == "median":
        return MedianStoppingRule(
            time_attr="training_iteration", metric=METRIC, mode="max", grace_period=plan.grace, min_samples_required=3
        )
    return FIFOScheduler()  # type: ignore[no-untyped-call]


class _Earlier:
    """A trial of an earlier start, of which a scheduler reads only the id."""

    def __init__(self, key: str) -> None:
        self.trial_id = key


def replay(scheduler: TrialScheduler, trials: Mapping[str, Trial]) -> None:
    """Let a scheduler hear every epoch of the trials that ended before."""
    nobody: Any = SimpleNamespace(get_live_trials=list)
    hear = scheduler.on_trial_complete if isinstance(scheduler, MedianStoppingRule) else scheduler.on_trial_result
    for key, found in trials.items():
        trial: Any = _Earlier(key)
        scheduler.on_trial_add(nobody, trial)
        for epoch, value in enumerate(found.history(), 1):
            hear(nobody, trial, {"training_iteration": epoch, METRIC: value})
        scheduler.on_trial_remove(nobody, trial)


def trainable(make_trial: MakeTrial, params: Params, began: str) -> Callable[[dict[str, Any]], None]:
    """What a worker does with a point."""

    def trial(config: dict[str, Any]) -> None:
        found = make_trial(config)
        if reason := found.failure(began):
            raise DATransNetError(reason)  # once is enough: Ray starts again what died, not what failed
        costs = found.costs(params.tune.objectives)
        try:
            for value in side_by_side(found.jobs):
                tune.report({METRIC: value, **costs})
        except TrainingError:  # the search learns that this point is no good
            tune.report({METRIC: 0.0, **costs})

    return trial


def tuner(
    study: Study,
    identity: str,
    trial: Any,
    searcher: Searcher,
    scheduler: TrialScheduler,
    remaining: int,
    listeners: list[tune.Callback],
    budget: Budget,
    retries: int,
) -> tune.Tuner:
    """Ray's Tuner; what it stores serves nobody later, so it starts empty each time."""
    params = study.params
    storage = study.runs / ".ray"
    shutil.rmtree(storage / identity, ignore_errors=True)
    return tune.Tuner(
        tune.with_resources(trial, {"cpu": params.resources.cores, "gpu": params.resources.share}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=remaining,
            max_concurrent_trials=params.tune.concurrent,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=identity,
            storage_path=str(storage),
            callbacks=listeners,
            verbose=0,
            stop=budget if params.tune.limited else None,
            failure_config=tune.FailureConfig(max_failures=retries),
        ),
    )
