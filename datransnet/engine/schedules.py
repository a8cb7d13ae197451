"""Learning-rate schedules as pure functions of progress, so that resuming needs no state of them."""

import math
from collections.abc import Callable

from datransnet.engine.recipe import Recipe

SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "multistep": lambda progress: 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01,
}


def learning_rate(recipe: Recipe, progress: float) -> float:
    """The rate at a share of all steps, in [0, 1).

    >>> [round(learning_rate(Recipe(lr=1.0, warmup=0.1), p), 3) for p in (0.05, 0.2, 0.5, 0.75)]
    [0.5, 1.0, 0.1, 0.01]
    """
    rising = min(1.0, progress / recipe.warmup) if recipe.warmup else 1.0
    return recipe.lr * rising * SHAPES[recipe.schedule](progress)
