"""Which searched parameters matter, and how sure that is."""

import warnings
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.trial import create_trial

from pipeline.search.schedule import Standing
from pipeline.search.space import Space, distribution
from pipeline.study.handover import Importance

SAMPLES_TO_RANK = 4
"""Trials from which importances are estimated; fewer say nothing."""
RESAMPLES = 100
"""Bootstrap samples of the trials, from which the intervals are."""


def importances(space: Space, standings: Sequence[Standing]) -> dict[str, Importance]:
    """The importance of each searched parameter: its share in what sets the better trials apart (PED-ANOVA).

    Trials are ordered by how far they came and by what they were worth there, since values of different epochs cannot
    be compared. The shares sum to one; their intervals are percentiles over trials drawn with replacement. The result
    is empty if they cannot be estimated, for instance from too few trials.
    """
    known = sorted((each for each in standings if each.values and not each.out), key=_order)
    found = _shares(space, known)
    if not found:
        return {}
    rng = np.random.default_rng(0)
    drawn = [[known[place] for place in sorted(rng.integers(len(known), size=len(known)))] for _ in range(RESAMPLES)]
    resampled = [shares for shares in (_shares(space, trials) for trials in drawn) if shares]
    bounds = {
        name: np.quantile([shares.get(name, 0.0) for shares in resampled], (0.025, 0.975)) if resampled else (0.0, 1.0)
        for name in found
    }
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))  # equals in one order
    return {name: Importance(share, *map(float, bounds[name])) for name, share in ordered}


def _shares(space: Space, known: Sequence[Standing]) -> dict[str, float]:
    """Shares of trials in their order, the worst first."""
    if len(known) < SAMPLES_TO_RANK or _order(known[0]) == _order(known[-1]):
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # more than a second: sklearn

    study = optuna.create_study(direction="maximize")
    for rank, each in enumerate(known):
        dimensions = {key: distribution(space[key]) for key in each.point}
        study.add_trial(create_trial(params=each.point, distributions=dimensions, value=float(rank)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (ValueError, RuntimeError):  # no dimension in common
        return {}


def _order(standing: Standing) -> tuple[int, float]:
    return len(standing.values), standing.values[-1]
