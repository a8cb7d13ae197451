"""The section `tune` of the parameters: a search's space, budget and rules, and what makes no sense in it."""

import json
from typing import Literal

from pydantic import Field, JsonValue, model_validator

from datransnet.engine.recipe import Recipe
from datransnet.errors import did_you_mean
from pipeline.study.section import Strict

SamplerName = Literal["tpe", "gp", "nsga2", "random", "qmc"]
Scheduler = Literal["halving", "hyperband", "asha", "median", "none"]
Signal = Literal["iou", "soft_iou", "average_precision", "cross_entropy"]
SMALLER = ("cross_entropy",)
"""Signals of which the smaller value is the better."""


def section_and_name(key: str) -> tuple[str, str]:
    """A searched parameter's section, ``recipe`` or ``model``, and its name there.

    >>> section_and_name("recipe.lr")
    ('recipe', 'lr')
    """
    section, _, name = key.partition(".")
    return section, name


class Choice(Strict):
    """A searched parameter with the possible values ``choice``.

    ``when`` (name of another choice → value) limits the search to points where those choices have these values.
    """

    choice: list[JsonValue] = Field(min_length=1)
    when: dict[str, JsonValue] = Field(default_factory=dict)

    def holds(self, value: JsonValue) -> bool:
        """Whether a value is one of them."""
        return value in self.choice

    def examples(self) -> list[JsonValue]:
        """Values that show whether all can be used: all."""
        return list(self.choice)

    def largest(self) -> list[JsonValue]:
        """The value that needs most memory where all are numbers; else all, since any might."""
        numbers = [value for value in self.choice if isinstance(value, int | float) and not isinstance(value, bool)]
        return [max(numbers)] if len(numbers) == len(self.choice) else list(self.choice)


class Interval(Strict):
    """A number between two bounds, on a logarithmic scale if ``log``; whole if ``integer``; ``when`` as in `Choice`."""

    when: dict[str, JsonValue] = Field(default_factory=dict)
    low: float
    high: float
    log: bool = False
    integer: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "Interval":
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("low must be below high, and above 0 on a logarithmic scale")
        return self

    def holds(self, value: JsonValue) -> bool:
        """Whether a value lies in it."""
        kinds = int if self.integer else int | float
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def examples(self) -> list[JsonValue]:
        """Values that show whether all can be used.

        One of them is not whole, unless all are: a parameter that must be an integer refuses it.
        """
        if self.integer:
            return [int(self.low), int(self.high)]
        return [self.low, self.high, self.low + 0.618 * (self.high - self.low)]

    def largest(self) -> list[JsonValue]:
        """The value that needs most memory."""
        return [int(self.high) if self.integer else self.high]


class Tune(Strict):
    """The search: its space, budget and early stopping.

    ``space`` maps ``recipe.<field>`` or ``model.<argument>`` to a `Choice` or `Interval`. A search looks at its trials
    after a share 1/``reduction`` of their ``epochs``, after 1/``reduction``² and so on, down to ``grace`` epochs, and
    sends the best 1/``reduction`` on each time, as ``signal`` ranks them on the validation part. ``halving`` and
    ``hyperband`` decide in rounds: ``bracket`` trials begin, ``round_size`` at a time, before any of them is sent on;
    so the result does not depend on how many train at once. ``asha`` and ``median`` (a trial goes on while its best is
    not below the median of the others' means) leave no place idle, and depend on who came first. A trial trains
    ``seeds`` networks side by side and is judged by their mean. Of several ``objectives`` the winner is the best by the
    first, and the Pareto front is reported. ``wall_hours`` and ``gpu_hours`` end a sweep before its ``trials`` do,
    restarts included, and so does ``least_gain``: once an upper bound of what a further trial may gain in IoU is below
    it. ``warm_start`` names an earlier study whose trials the sampler may learn from.
    """

    trials: int = Field(ge=1, le=100_000)
    epochs: int = Field(ge=1, le=10_000)
    sampler: SamplerName = "tpe"
    scheduler: Scheduler = "halving"
    signal: Signal = "average_precision"
    bracket: int = Field(16, ge=1)
    round_size: int = Field(4, ge=1)
    grace: int = Field(1, ge=1)
    reduction: float = Field(5, gt=1)
    concurrent: int = Field(1, ge=1)
    seeds: int = Field(1, ge=1, le=100)
    objectives: list[Literal["iou", "parameters", "operations", "latency"]] = Field(["iou"])
    wall_hours: float | None = Field(None, gt=0)
    gpu_hours: float | None = Field(None, gt=0)
    least_gain: float | None = Field(None, gt=0, le=1)
    warm_start: str | None = None
    space: dict[str, Choice | Interval] = Field(min_length=1)
    points: list[dict[str, JsonValue]] = Field(default_factory=list)

    @property
    def limited(self) -> bool:
        """Whether hours may end the sweep."""
        return self.wall_hours is not None or self.gpu_hours is not None

    @model_validator(mode="after")
    def _keys(self) -> "Tune":
        for key in [*self.space, *(key for point in self.points for key in point)]:
            section, name = section_and_name(key)
            if section == "recipe" and name in Recipe.__dataclass_fields__ and name != "epochs":
                continue
            if section != "model" or not name:
                known = [f"recipe.{field}" for field in Recipe.__dataclass_fields__ if field != "epochs"]
                raise ValueError(f"{key!r} cannot be searched. {did_you_mean(key, [*known, 'model.<argument>'])}")
        return self

    @model_validator(mode="after")
    def _points(self) -> "Tune":
        for point in self.points:
            for key, value in point.items():
                if key not in self.space:
                    raise ValueError("points may only name keys of space")
                if not self.space[key].holds(value):
                    raise ValueError(f"points: {key} = {json.dumps(value)} is not in its space")
        return self

    @model_validator(mode="after")
    def _conditions(self) -> "Tune":
        earlier: dict[str, Choice | Interval] = {}
        for key, dimension in self.space.items():
            for name, value in dimension.when.items():
                other = earlier.get(name)
                if not isinstance(other, Choice) or value not in other.choice:
                    raise ValueError(
                        f"space.{key}.when: {name} = {json.dumps(value)} must be a value of a choice that stands before"
                    )
            earlier[key] = dimension
        return self

    @model_validator(mode="after")
    def _together(self) -> "Tune":
        if self.objectives[:1] != ["iou"] or len(set(self.objectives)) != len(self.objectives):
            raise ValueError("objectives must begin with iou and name each once")
        if len(self.objectives) > 1 and self.scheduler != "none":
            raise ValueError("with several objectives no trial can be stopped early: set scheduler: none")
        if len(self.objectives) > 1 and self.least_gain is not None:
            raise ValueError("least_gain is of the IoU alone: leave it out with several objectives")
        if self.scheduler != "none" and self.grace > self.epochs:
            raise ValueError(f"grace = {self.grace} is more than the {self.epochs} epochs of a trial")
        return self
