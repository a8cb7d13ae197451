"""Who suggests the next point: Optuna's samplers, seeded so that restarts change nothing."""

import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from datransnet.seeding import derive_seed
from pipeline.search.space import Space, is_complete
from pipeline.study.params import Params

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "random": lambda seed: RandomSampler(seed=seed),
}


class SeededByPosition(BaseSampler):
    """A sampler whose choice for the n-th trial depends on the seed, n, and the trials before, not on restarts.

    Here n is the number of distinct points that were asked for before. A trial that was killed and queued again counts
    once. A trial that failed by itself counts too: without it, the next one would draw the same point.
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
