"""The search's memory and imagination: Optuna's space, samplers and study. With `tune`, all that knows Optuna."""

import json
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import OperationalError

from datransnet.errors import DATransNetError, ParameterError
from datransnet.registry import did_you_mean
from datransnet.seeding import derive_seed
from pipeline.support.params import Params
from pipeline.support.paths import Study, sqlite_address
from pipeline.support.search_params import Choice, Interval, Tune

Space = Mapping[str, Choice | Interval]
Point = dict[str, Any]
OptunaStudy = optuna.Study
"""Not a study of ours: the trials of one sweep."""

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "random": lambda seed: RandomSampler(seed=seed),
}
SAMPLES_TO_RANK = 4
"""Finished trials from which importances are estimated; fewer say nothing."""


def encode(value: Any) -> Any:
    """A choice as Optuna stores it: scalars as they are, lists as JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def decoded(dimension: Choice | Interval, value: Any) -> Any:
    """What Optuna stores, as params.yaml has it."""
    if isinstance(dimension, Choice):
        return {encode(choice): choice for choice in dimension.choice}[value]
    return value


def distribution(dimension: Choice | Interval) -> BaseDistribution:
    """Optuna's distribution of a dimension of the space."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution([encode(value) for value in dimension.choice])
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def active(space: Space, point: Mapping[str, Any]) -> list[str]:
    """Dimensions that a point must have: those whose ``when`` its other values fulfil."""
    found: list[str] = []
    for key, dimension in space.items():
        if all(name in found and point.get(name) == encode(value) for name, value in dimension.when.items()):
            if key not in point:
                return [*found, key]  # not complete, and what follows may depend on it
            found.append(key)
    return found


def is_complete(space: Space, point: Mapping[str, Any]) -> bool:
    """Whether a point has a value for each of its dimensions."""
    return set(active(space, point)) == set(point)


def suggest(space: Space, trial: Any) -> None:
    """Ask a trial for every dimension that its earlier ones make active."""
    point: Point = {}
    for key, dimension in space.items():
        if all(name in point and point[name] == encode(value) for name, value in dimension.when.items()):
            if isinstance(dimension, Choice):
                point[key] = trial.suggest_categorical(key, [encode(value) for value in dimension.choice])
            elif dimension.integer:
                point[key] = trial.suggest_int(key, int(dimension.low), int(dimension.high), log=dimension.log)
            else:
                point[key] = trial.suggest_float(key, dimension.low, dimension.high, log=dimension.log)


class SeededByPosition(BaseSampler):
    """A sampler whose choice for the n-th trial depends on the seed, n, and the trials before, not on restarts.

    A trial that was cut off is failed in the study and queued again, or drawn again if it was still being drawn: n
    counts it once. One that failed by itself counts too, else the next trial would draw the same point.
    """

    def __init__(self, seed: int, kind: str = "tpe", space: Space | None = None) -> None:
        self.seed, self.kind, self.space = seed, kind, space or {}
        self._current: tuple[int, BaseSampler] = (-1, RandomSampler())

    def _sampler(self, study: optuna.Study, trial: FrozenTrial) -> BaseSampler:
        if self._current[0] != trial.number:
            earlier = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number]
            asked = [t.params or t.system_attrs.get("fixed_params") for t in earlier if t.state != TrialState.FAIL]
            for t in earlier:
                if t.state == TrialState.FAIL and is_complete(self.space, t.params) and t.params not in asked:
                    asked.append(t.params)
            self._current = (trial.number, SAMPLERS[self.kind](derive_seed(self.seed, "trial", len(asked))))
        return self._current[1]

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler."""
        return self._sampler(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler."""
        return self._sampler(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the sampler."""
        return self._sampler(study, trial).sample_independent(study, trial, param_name, param_distribution)


def make_sampler(params: Params) -> BaseSampler:
    """The sampler that the parameters choose. A quasi-random one keeps its place in the study itself."""
    seed = derive_seed(params.seed, "search")
    if params.tune.sampler == "qmc":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
    return SeededByPosition(seed, params.tune.sampler, params.tune.space)


def storage_of(study: Study) -> optuna.storages.RDBStorage:
    """Where studies are kept: ``cluster.storage``, else SQLite beside the runs."""
    given = study.params.cluster.storage
    url = study.address(given, "cluster.storage") if given else sqlite_address(study.runs / "search.db")
    kept = {} if url.startswith("sqlite") else {"pool_pre_ping": True}  # a server may have been restarted meanwhile
    return optuna.storages.RDBStorage(url, engine_kwargs=kept, heartbeat_interval=None)


def open_study(study: Study, name: str) -> optuna.Study:
    """Optuna's study of a sweep, made or found again; a new one hears what ``tune.warm_start`` has found.

    Raises:
        ParameterError: if there is no study to start from.
        DATransNetError: if the database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    study.runs.mkdir(parents=True, exist_ok=True)
    plan, url = study.params.tune, study.params.cluster.storage
    try:
        with FileLock(study.runs / "search.lock"):  # of two that make a new database's tables at once, one would fail
            storage = storage_of(study)
    except OperationalError as error:
        if url is None:
            raise  # a full disk, or one that cannot be written
        raise DATransNetError(
            f"The search's database {url} cannot be used ({str(error.orig).splitlines()[0]}). Start it, or change "
            "cluster.storage."
        ) from error
    directions = [
        StudyDirection.MAXIMIZE if objective == "iou" else StudyDirection.MINIMIZE for objective in plan.objectives
    ]
    known = optuna.get_all_study_names(storage)
    if plan.warm_start is not None and plan.warm_start not in known:
        raise ParameterError(
            f"tune.warm_start: there is no study {plan.warm_start!r}. {did_you_mean(plan.warm_start, known)}"
        )
    found = optuna.create_study(
        storage=storage, study_name=name, directions=directions, sampler=make_sampler(study.params), load_if_exists=True
    )
    if plan.warm_start is not None and not found.trials:
        found.add_trials(fitting(optuna.load_study(study_name=plan.warm_start, storage=storage), plan))
    return found


def fitting(source: optuna.Study, plan: Tune) -> list[FrozenTrial]:
    """Finished trials of another study whose points lie in this space, marked as known beforehand."""
    trials = []
    for trial in source.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if not is_complete(plan.space, trial.params) or len(trial.values) != len(plan.objectives):
            continue
        try:
            known = create_trial(
                params=trial.params,
                distributions={key: distribution(plan.space[key]) for key in trial.params},
                values=trial.values,
                user_attrs={"known_from": source.study_name},
            )
        except ValueError:  # a value that this space does not hold
            continue
        trials.append(known)
    return trials


def own_trials(found: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
    """Trials of the sweep itself, without those it was told beforehand."""
    trials = found.get_trials(deepcopy=False, states=states or None)
    return [trial for trial in trials if "known_from" not in trial.user_attrs]


def importances(found: optuna.Study, objectives: int) -> dict[str, float]:
    """How much of what sets the better trials apart each dimension explains, summing to one (PED-ANOVA).

    Empty where there are too few trials to say.
    """
    complete = found.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < SAMPLES_TO_RANK:
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # more than a second: sklearn

    target = (lambda trial: -trial.values[0]) if objectives > 1 else None  # the evaluator takes low for good
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            weights = get_param_importances(found, evaluator=PedAnovaImportanceEvaluator(), target=target)
    except (ValueError, RuntimeError):  # all values equal, or no dimension in common
        return {}
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0])))  # equals in one order
