"""Ray Tune and what it is given: a searcher that hands out the legs of a course, and what a worker does with one."""

import shutil
from collections.abc import Callable, Sequence
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from datransnet.errors import DATransNetError, TrainingError
from pipeline.search.budget import Budget
from pipeline.search.course import Course
from pipeline.search.schedule import Leg
from pipeline.search.trial import MakeTrial, side_by_side
from pipeline.study.params import Params
from pipeline.study.study import Study

METRIC = "iou"
"""What is reported: the validation IoU of a trial's best epoch so far, mean over its seeds."""
RETRIES = 3
"""How often Ray starts a leg again whose process or node died."""


class Legs(Searcher):
    """Hands out what a course wants to be trained next. Each leg is a trial to Ray, which runs, places and retries it.

    Ray's schedulers stop trials as results arrive; so what they stop depends on the order of arrival. Here Ray waits.
    """

    def __init__(self, course: Course, costs: Sequence[str]) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._course, self._costs = course, costs
        self._sent: dict[str, Leg] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next leg, None while it is not known, or that there is none left."""
        leg = self._course.begin()
        if leg is None:
            return self.FINISHED if self._course.over else None
        self._sent[trial_id] = leg
        point = self._course.standings[leg.trial].point
        return {"point": dict(point), "epochs": self._course.schedule.rungs[leg.rung]}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the course that a leg has ended."""
        heard = result or {}
        costs = {name: float(heard[name]) for name in self._costs if name in heard}
        self._course.end(self._sent.pop(trial_id), costs)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the run records hold the epochs."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: a start needs nothing that Ray stores."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: a start needs nothing that Ray stores."""


def trainable(make_trial: MakeTrial, params: Params, began: str) -> Callable[[dict[str, Any]], None]:
    """Return the function that a worker of Ray calls to train the runs of a point up to an epoch.

    A point that has a run which failed at or after ``began``, the UTC time of this start, is not trained again.
    """

    def trial(config: dict[str, Any]) -> None:
        found = make_trial(config["point"])
        if reason := found.failure(began):
            raise DATransNetError(reason)  # once is enough: Ray starts again what died, not what failed
        costs = found.costs(params.tune.objectives)
        try:
            for value in side_by_side(found.jobs, config["epochs"]):
                tune.report({METRIC: value, **costs})
        except TrainingError:  # its records say so
            tune.report({METRIC: 0.0, **costs})

    return trial


def tuner(
    study: Study, identity: str, trial: Any, searcher: Searcher, listener: tune.Callback, budget: Budget
) -> tune.Tuner:
    """Ray's Tuner for one start of a sweep. Later starts do not need what it stores, so its folder is emptied first."""
    params = study.params
    storage = study.runs / ".ray"
    shutil.rmtree(storage / identity, ignore_errors=True)
    return tune.Tuner(
        tune.with_resources(trial, {"cpu": params.resources.cores, "gpu": params.resources.share}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,  # until the searcher has nothing left
            max_concurrent_trials=params.tune.concurrent,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=identity,
            storage_path=str(storage),
            callbacks=[listener],
            verbose=0,
            stop=budget if params.tune.limited else None,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
        ),
    )
