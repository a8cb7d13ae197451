"""Ray Tune and what it is given: a searcher that hands out the legs of courses, and what a worker does with one."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from datransnet.errors import DATransNetError, TrainingError
from pipeline.runs.side_by_side import side_by_side
from pipeline.search.budget import Budget
from pipeline.search.course import Course
from pipeline.search.schedule import Leg
from pipeline.study.study import Study

METRIC = "iou"
"""What is reported: the validation IoU of a trial's best epoch so far, mean over its seeds."""
RETRIES = 3
"""How often Ray starts a leg again whose process or node died."""


class Legs(Searcher):
    """Hands out what courses want to be trained next. Each leg is a trial to Ray, which runs, places and retries it.

    A course that waits for its round leaves the place to the next one. Ray's schedulers stop trials as results arrive;
    so what they stop depends on the order of arrival. Here Ray waits.
    """

    def __init__(self, courses: Mapping[str, Course], costs: Sequence[str]) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._courses, self._costs = courses, costs
        self._sent: dict[str, tuple[Course, Leg]] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next leg, None while it is not known, or that there is none left."""
        trained = set[str]().union(*(course.under_way for course in self._courses.values()))
        for network, course in self._courses.items():
            leg = course.begin(trained)  # two networks may have a run in common
            if leg is not None:
                self._sent[trial_id] = course, leg
                point = dict(course.standings[leg.trial].point)
                return {"network": network, "point": point, "epochs": course.schedule.rungs[leg.rung]}
        return self.FINISHED if all(course.over for course in self._courses.values()) else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell its course that a leg has ended."""
        heard, (course, leg) = result or {}, self._sent.pop(trial_id)
        course.end(leg, {name: float(heard[name]) for name in self._costs if name in heard})

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the run records hold the epochs."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: a start needs nothing that Ray stores."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: a start needs nothing that Ray stores."""


def trainable(courses: Mapping[str, Course], objectives: Sequence[str]) -> Callable[[dict[str, Any]], None]:
    """Return the function that a worker of Ray calls to train the runs of a point up to an epoch.

    A point that has a run which failed after this start began is not trained again.
    """
    makers = {network: (course.make_trial, course.since) for network, course in courses.items()}  # what is sent along

    def trial(config: dict[str, Any]) -> None:
        make_trial, began = makers[config["network"]]
        found = make_trial(config["point"])
        if reason := found.failure(began):
            raise DATransNetError(reason)  # once is enough: Ray starts again what died, not what failed
        costs = found.costs(objectives)
        try:
            for value in side_by_side(found.jobs, config["epochs"]):
                tune.report({METRIC: value, **costs})
        except TrainingError:  # its records say so
            tune.report({METRIC: 0.0, **costs})

    return trial


def tuner(
    study: Study, identity: str, trial: Any, searcher: Searcher, listener: tune.Callback, budgets: Sequence[Budget]
) -> tune.Tuner:
    """Ray's Tuner for one start of sweeps. Later starts do not need what it stores, so its folder is emptied first.

    Where there are hours, ``budgets`` is that of the only sweep.
    """
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
            stop=budgets[0] if params.tune.limited else None,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
        ),
    )
