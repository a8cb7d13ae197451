"""The memory of a search: an Optuna study in a database."""

import logging
import warnings

import optuna
from filelock import FileLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import OperationalError

from datransnet.errors import DATransNetError, ParameterError, did_you_mean
from pipeline.search.sampler import make_sampler
from pipeline.search.space import distribution, is_complete
from pipeline.study.search_space import Tune
from pipeline.study.sqlite import sqlite_address
from pipeline.study.study import Study

OptunaStudy = optuna.Study
"""Not a study of ours: the trials of one sweep."""
SAMPLES_TO_RANK = 4
"""Finished trials from which importances are estimated; fewer say nothing."""


def storage_of(study: Study) -> optuna.storages.RDBStorage:
    """Where studies are kept: ``cluster.storage``, else SQLite beside the runs."""
    given = study.params.cluster.storage
    url = study.address(given, "cluster.storage") if given else sqlite_address(study.runs / "search.db")
    kept = {} if url.startswith("sqlite") else {"pool_pre_ping": True}  # a server may have been restarted meanwhile
    return optuna.storages.RDBStorage(url, engine_kwargs=kept, heartbeat_interval=None)


def open_study(study: Study, name: str) -> optuna.Study:
    """Create or open the Optuna study of a sweep; a new one takes over the finished trials of ``tune.warm_start``.

    Raises:
        ParameterError: if the study that ``tune.warm_start`` names does not exist.
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
    """Trials of the sweep itself, without those that it took over from ``tune.warm_start``."""
    trials = found.get_trials(deepcopy=False, states=states or None)
    return [trial for trial in trials if "known_from" not in trial.user_attrs]


def importances(found: optuna.Study, objectives: int) -> dict[str, float]:
    """The importance of each searched parameter: its share in what sets the better trials apart (PED-ANOVA).

    The shares sum to one. The result is empty if they cannot be estimated, for instance from too few trials.
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
