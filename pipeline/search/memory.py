"""The memory of a search: an Optuna study in a database, which keeps every point and what became of it."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import JsonValue
from sqlalchemy.exc import OperationalError

from datransnet.errors import DATransNetError, ParameterError, did_you_mean
from pipeline.search.schedule import Standing
from pipeline.search.space import Point, Space, directions, distribution, is_complete
from pipeline.study.search_space import Tune
from pipeline.study.sqlite import sqlite_address
from pipeline.study.study import Study

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class Asked(NamedTuple):
    """A point that was asked for, what the sampler keeps with it, and what its network takes, as far as heard."""

    point: Point
    marks: dict[str, JsonValue]
    costs: dict[str, float]


class Memory:
    """What a search remembers between two starts.

    A trial is running in Optuna's eyes until it has reached its last epoch or the search ends, whichever comes first:
    until then it may be promoted.

    Attributes:
        study: Optuna's.
        asked: all points so far, in their order.
    """

    def __init__(self, study: optuna.Study, space: Space) -> None:
        self.study, self._space = study, space
        self._own = [trial for trial in study.get_trials(deepcopy=False) if "known_from" not in trial.user_attrs]
        self.asked = [
            Asked(trial.params, trial.user_attrs.get("marks", {}), trial.user_attrs.get("costs", {}))
            for trial in self._own
        ]

    @property
    def earlier(self) -> list[FrozenTrial]:
        """Trials that were taken over from ``tune.warm_start``."""
        trials = self.study.get_trials(deepcopy=False, states=ENDED)
        return [trial for trial in trials if "known_from" in trial.user_attrs]

    @property
    def seconds(self) -> float:
        """How long all starts took together."""
        return float(self.study.user_attrs.get("seconds", 0))

    @seconds.setter
    def seconds(self, value: float) -> None:
        self.study.set_user_attr("seconds", value)

    def keep(self, point: Point, marks: Mapping[str, JsonValue]) -> None:
        """Remember a point before it is trained."""
        dimensions = {key: distribution(self._space[key]) for key in point}
        known: dict[str, object] = {"marks": dict(marks)} if marks else {}
        self.study.add_trial(
            create_trial(state=TrialState.RUNNING, params=point, distributions=dimensions, user_attrs=known)
        )
        self._own.append(self.study.get_trials(deepcopy=False)[-1])
        self.asked.append(Asked(point, dict(marks), {}))

    def keep_costs(self, number: int, costs: Mapping[str, float]) -> None:
        """Remember what a trial's network takes, in the order of the objectives beside ``iou``."""
        self._live(number).set_user_attr("costs", dict(costs))

    def tell(self, number: int, values: Sequence[float], costs: Mapping[str, float]) -> None:
        """Tell Optuna what a trial that reached its last epoch is worth."""
        self._tell(number, TrialState.COMPLETE, [values[-1], *costs.values()])

    def close(self, standings: Sequence[Standing], rungs: Sequence[int]) -> None:
        """Tell Optuna which trials went no farther, and which failed; one that was cut off stays running."""
        for number, standing in enumerate(standings):
            if self._own[number].state.is_finished():
                continue
            if standing.out:
                self._tell(number, TrialState.FAIL)
            elif standing.arrived:
                for epoch, value in zip(rungs, standing.values, strict=False):
                    self._live(number).report(value, epoch)
                self._tell(number, TrialState.PRUNED)

    def _tell(self, number: int, state: TrialState, values: list[float] | None = None) -> None:
        if not self._own[number].state.is_finished():
            self._own[number] = self.study.tell(self._own[number].number, values, state=state)

    def _live(self, number: int) -> optuna.Trial:
        """A trial that can be written to: Optuna hands one out to who asks, and this one was asked for otherwise."""
        return optuna.Trial(self.study, self._own[number]._trial_id)


def storage_of(study: Study) -> optuna.storages.RDBStorage:
    """Where studies are kept: ``cluster.storage``, else SQLite beside the runs."""
    given = study.params.cluster.storage
    url = study.address(given, "cluster.storage") if given else sqlite_address(study.runs / "search.db")
    kept = {} if url.startswith("sqlite") else {"pool_pre_ping": True}  # a server may have been restarted meanwhile
    return optuna.storages.RDBStorage(url, engine_kwargs=kept, heartbeat_interval=None)


def open_memory(study: Study, plan: Tune, name: str) -> Memory:
    """Create or open the memory of a sweep; a new one takes over the ended trials of ``warm_start``.

    Raises:
        ParameterError: if the study that ``tune.warm_start`` names does not exist.
        DATransNetError: if the database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    study.runs.mkdir(parents=True, exist_ok=True)
    url = study.params.cluster.storage
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
    known = optuna.get_all_study_names(storage)
    if plan.warm_start is not None and plan.warm_start not in known:
        raise ParameterError(
            f"tune.warm_start: there is no study {plan.warm_start!r}. {did_you_mean(plan.warm_start, known)}"
        )
    found = optuna.create_study(storage=storage, study_name=name, directions=directions(plan), load_if_exists=True)
    if plan.warm_start is not None and not found.trials:
        found.add_trials(fitting(optuna.load_study(study_name=plan.warm_start, storage=storage), plan))
    return Memory(found, plan.space)


def fitting(source: optuna.Study, plan: Tune) -> list[FrozenTrial]:
    """Ended trials of another study whose points lie in this space, marked as known beforehand."""
    trials = []
    for trial in source.get_trials(deepcopy=False, states=ENDED):
        if not is_complete(plan.space, trial.params) or len(source.directions) != len(plan.objectives):
            continue
        try:
            known = create_trial(
                state=trial.state,
                params=trial.params,
                distributions={key: distribution(plan.space[key]) for key in trial.params},
                values=trial.values,
                intermediate_values=trial.intermediate_values,
                user_attrs={"known_from": source.study_name},
            )
        except ValueError:  # a value that this space does not hold
            continue
        trials.append(known)
    return trials
