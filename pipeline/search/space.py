"""The space of a search, as Optuna draws from it."""

import json
import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection

from pipeline.study.search_space import Choice, Interval, Tune

Space = Mapping[str, Choice | Interval]
Point = dict[str, Any]
"""Searched parameter → value, as Optuna stores it."""
Place = dict[str, float]
"""Searched parameter → the quantile of its value, in [0, 1): where in the unit cube a point lies."""


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


def directions(plan: Tune) -> list[StudyDirection]:
    """For each objective whether more is better."""
    better = {"iou": StudyDirection.MAXIMIZE}
    return [better.get(objective, StudyDirection.MINIMIZE) for objective in plan.objectives]


def point_at(space: Space, place: Place) -> Point:
    """The point at a place of the unit cube. Dimensions whose ``when`` is not fulfilled are left out.

    >>> space = {"recipe.lr": Interval(low=1e-4, high=1e-2, log=True), "recipe.batch_size": Choice(choice=[4, 8])}
    >>> point_at(space, {"recipe.lr": 0.5, "recipe.batch_size": 0.9})
    {'recipe.lr': 0.001, 'recipe.batch_size': 8}
    """
    point: Point = {}
    for key, dimension in space.items():
        if not is_active(dimension, point):
            continue
        quantile = place[key]
        if isinstance(dimension, Choice):
            point[key] = encode(dimension.choice[int(quantile * len(dimension.choice))])
        else:
            low, high = dimension.low, dimension.high + dimension.integer  # each whole number has an equal share
            value = float(low * (high / low) ** quantile if dimension.log else low + (high - low) * quantile)
            point[key] = min(int(value), int(dimension.high)) if dimension.integer else value  # 1 - ε rounds up
    return point


def place_of(space: Space, point: Point) -> Place:
    """Where a point lies, as far as it has values; of a choice's share of the range, the middle.

    >>> space = {"recipe.lr": Interval(low=1e-4, high=1e-2, log=True), "recipe.batch_size": Choice(choice=[4, 8])}
    >>> place_of(space, {"recipe.lr": 0.001, "recipe.batch_size": 8})
    {'recipe.lr': 0.5, 'recipe.batch_size': 0.75}
    """
    place: Place = {}
    for key, value in point.items():
        dimension = space[key]
        if isinstance(dimension, Choice):
            place[key] = (list(map(encode, dimension.choice)).index(value) + 0.5) / len(dimension.choice)
        else:
            low, high = dimension.low, dimension.high + dimension.integer
            found = value + 0.5 * dimension.integer
            place[key] = math.log(found / low, high / low) if dimension.log else (found - low) / (high - low)
    return place


def is_active(dimension: Choice | Interval, point: Point) -> bool:
    """Whether a point with these values of the dimensions before has one of this dimension too."""
    return all(name in point and point[name] == encode(value) for name, value in dimension.when.items())


def active(space: Space, point: Point) -> list[str]:
    """Dimensions that a point must have: those whose ``when`` its other values fulfil."""
    found: list[str] = []
    for key, dimension in space.items():
        if all(name in found and point.get(name) == encode(value) for name, value in dimension.when.items()):
            if key not in point:
                return [*found, key]  # not complete, and what follows may depend on it
            found.append(key)
    return found


def is_complete(space: Space, point: Point) -> bool:
    """Whether a point has a value for each of its dimensions."""
    return set(active(space, point)) == set(point)


def suggest(space: Space, trial: Any) -> None:
    """Ask a trial for every dimension that its earlier ones make active."""
    point: Point = {}
    for key, dimension in space.items():
        if is_active(dimension, point):
            if isinstance(dimension, Choice):
                point[key] = trial.suggest_categorical(key, [encode(value) for value in dimension.choice])
            elif dimension.integer:
                point[key] = trial.suggest_int(key, int(dimension.low), int(dimension.high), log=dimension.log)
            else:
                point[key] = trial.suggest_float(key, dimension.low, dimension.high, log=dimension.log)
