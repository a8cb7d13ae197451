"""Ray Tune and what it is given: a searcher, a scheduler, and what a worker does with a point."""

import shutil
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from datransnet.errors import DATransNetError, TrainingError
from pipeline.search.budget import Budget
from pipeline.search.trial import MakeTrial, Trial, side_by_side
from pipeline.study.params import Params
from pipeline.study.search_space import Tune
from pipeline.study.study import Study

METRIC = "iou"
"""What is maximised: the validation IoU of a trial's best epoch so far, mean over its seeds."""
RETRIES = 3
"""How often Ray starts a trial again whose process or node died."""


class Searcher(OptunaSearch):
    """Optuna as Ray's searcher. Optuna is told that a trial failed even if the trial had reported results before."""

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the run records hold the epochs, no pruner of Optuna reads them, and its database is slow."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna how a trial ended."""
        super().on_trial_complete(trial_id, None if error else result, error)


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
    """Tell a scheduler every epoch of the trials that ended in earlier starts of the sweep."""
    nobody: Any = SimpleNamespace(get_live_trials=list)
    hear = scheduler.on_trial_complete if isinstance(scheduler, MedianStoppingRule) else scheduler.on_trial_result
    for key, found in trials.items():
        trial: Any = _Earlier(key)
        scheduler.on_trial_add(nobody, trial)
        for epoch, value in enumerate(found.history(), 1):
            hear(nobody, trial, {"training_iteration": epoch, METRIC: value})
        scheduler.on_trial_remove(nobody, trial)


def trainable(make_trial: MakeTrial, params: Params, began: str) -> Callable[[dict[str, Any]], None]:
    """Return the function that a worker of Ray calls to train the runs of one point of the search space.

    A point that has a run which failed at or after ``began``, the UTC time of this start, is not trained again.
    """

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
    """Ray's Tuner for one start of a sweep. Later starts do not need what it stores, so its folder is emptied first."""
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
