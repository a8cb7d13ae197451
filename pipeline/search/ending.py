"""When a search has found nearly all that it can find."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import create_trial

from pipeline.search.schedule import Standing
from pipeline.search.space import Space, distribution

LEAST_TRIALS = 8
"""Trials trained to their end before the bound is asked for; of fewer, a Gaussian process knows nothing."""


@dataclass(frozen=True)
class Ending:
    """The rule that ends a search before its trials do.

    Attributes:
        space: of the search.
        rungs: number of rungs of the schedule; only trials that reached the last can be compared.
        least_gain: of IoU, in [0, 1], below which further trials are not worth their time; None is no rule.
        seed: of the bound's optimisation.
    """

    space: Space
    rungs: int
    least_gain: float | None
    seed: int

    def reached(self, standings: Sequence[Standing]) -> bool:
        """Whether no further trial is expected to gain as much."""
        if self.least_gain is None:
            return False
        bound = self.bound(standings)
        return bound is not None and bound < self.least_gain

    def bound(self, standings: Sequence[Standing]) -> float | None:
        """How much better than the best so far the best point of the space may be: an upper confidence bound.

        Source: Makarova et al., "Automatic Termination for Hyperparameter Optimization", AutoML 2022, arXiv 2104.08166,
        as Optuna has it. None while there are too few trials.
        """
        ended = [each for each in standings if len(each.values) == self.rungs and not each.out]
        if len(ended) < LEAST_TRIALS:
            return None
        trials = []
        for number, each in enumerate(ended):
            dimensions = {key: distribution(self.space[key]) for key in each.point}
            trials.append(create_trial(params=each.point, distributions=dimensions, value=each.values[-1]))
            trials[-1].number = number
        from optuna.terminator import RegretBoundEvaluator  # most searches have no such rule, and it imports much

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            evaluator = RegretBoundEvaluator(seed=self.seed % 2**32)
        return float(evaluator.evaluate(trials, StudyDirection.MAXIMIZE))
