"""The space of a search, as Optuna draws from it."""

import json
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from pipeline.study.search_space import Choice, Interval

Space = Mapping[str, Choice | Interval]
Point = dict[str, Any]
"""Searched parameter → value, as Optuna stores it."""


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
        if all(name in point and point[name] == encode(value) for name, value in dimension.when.items()):
            if isinstance(dimension, Choice):
                point[key] = trial.suggest_categorical(key, [encode(value) for value in dimension.choice])
            elif dimension.integer:
                point[key] = trial.suggest_int(key, int(dimension.low), int(dimension.high), log=dimension.log)
            else:
                point[key] = trial.suggest_float(key, dimension.low, dimension.high, log=dimension.log)
