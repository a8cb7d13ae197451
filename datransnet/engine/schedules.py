"""Learning-rate schedules as pure functions of progress, so that resuming needs no state of them."""

import math
from collections.abc import Callable

from datransnet.engine.recipe import Recipe

RISE = 0.3
"""Share of all steps in which ``one_cycle`` rises, from a twenty-fifth of the peak."""


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _one_cycle(progress: float) -> float:
    if progress < RISE:
        return 1 - (1 - 1 / 25) * _cosine(progress / RISE)
    return _cosine((progress - RISE) / (1 - RISE))


SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "multistep": lambda progress: 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01,
}


def learning_rate(recipe: Recipe, progress: float) -> float:
    """The rate at a share of all steps, in [0, 1).

    >>> [round(learning_rate(Recipe(lr=1.0, warmup=0.1), p), 3) for p in (0.05, 0.2, 0.5, 0.75)]
    [0.5, 1.0, 0.1, 0.01]
    >>> [round(learning_rate(Recipe(lr=1.0, schedule="one_cycle"), p), 2) for p in (0, 0.3, 0.65)]
    [0.04, 1.0, 0.5]
    """
    rising = min(1.0, progress / recipe.warmup) if recipe.warmup else 1.0
    return recipe.lr * rising * SHAPES[recipe.schedule](progress)
