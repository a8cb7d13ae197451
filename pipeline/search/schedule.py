"""Who trains how far next: successive halving and Hyperband in rounds; ASHA and the median rule without waiting.

A schedule is a rule without a memory: from how far each trial has come it says what is to be trained now. In rounds it
is asked only when everything asked for before has been trained. So its answers depend on the trials and their values,
and neither on the order in which they came nor on how many trained at once. ASHA and the median rule are asked whenever
a place is free: nobody waits, and what is promoted depends on who was there first.

References: successive halving, arXiv 1502.07943; Hyperband, 1603.06560; ASHA, 1810.05934 (it promotes, as here); the
median rule, Google Vizier.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from pydantic import JsonValue

from pipeline.search.space import Point
from pipeline.study.search_space import Scheduler, Tune

OTHERS = 3
"""Trials that the median rule wants beside one before it may stop it."""


@dataclass
class Standing:
    """How far a trial has come.

    Attributes:
        point: of the space.
        sent: the rung that it was last sent to, from 0.
        values: what it was worth at each rung that it reached, greater is better: the signal, and at the last rung the
            IoU. A trial on its way lacks those up to ``sent``.
        out: it is infeasible or failed, and is sent nowhere any more.
        costs: what its network takes, by the names of the objectives beside ``iou``.
        marks: what Optuna's sampler keeps with it.
    """

    point: Point
    sent: int
    values: list[float] = field(default_factory=list)
    out: bool = False
    costs: dict[str, float] = field(default_factory=dict)
    marks: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def arrived(self) -> bool:
        """Whether it is where it was sent, or out."""
        return self.out or len(self.values) > self.sent


@dataclass(frozen=True)
class Leg:
    """A part of a trial's training: the trial's number, from 0, and the rung up to which it is trained."""

    trial: int
    rung: int


def rungs_of(plan: Tune, validate_every: int) -> tuple[int, ...]:
    """The epochs at which a search decides, the last of a trial among them; the validation part is looked at in each.

    >>> plan = Tune(trials=9, epochs=20, grace=2, reduction=3, space={"recipe.lr": {"low": 0.1, "high": 0.2}})
    >>> rungs_of(plan, 1), rungs_of(plan, 4)
    ((2, 6, 20), (4, 8, 20))
    """
    if plan.scheduler == "none":
        return (plan.epochs,)
    if plan.scheduler == "median":
        epochs = list(range(plan.grace, plan.epochs))
    else:
        number = 1 + int(math.log(plan.epochs / plan.grace) / math.log(plan.reduction) + 1e-9)
        epochs = [int(plan.epochs / plan.reduction**power + 1e-9) for power in range(number)]
    looks = {min(plan.epochs, -(-epoch // validate_every) * validate_every) for epoch in epochs}
    return tuple(sorted({*looks, plan.epochs}))


@dataclass(frozen=True)
class Schedule:
    """A rule.

    Attributes:
        kind: as the parameters name it.
        rungs: epochs at which it decides, rising; the last is a trial's last.
        reduction: of those that reach a rung, one in so many goes on.
        trials: how many there shall be.
        bracket: how many of them begin before the best of these are promoted, where it decides in rounds.
        size: how many of them are asked for at once, where it decides in rounds.
    """

    kind: Scheduler
    rungs: tuple[int, ...]
    reduction: float
    trials: int
    bracket: int
    size: int

    @classmethod
    def of(cls, plan: Tune, validate_every: int) -> "Schedule":
        """The rule that the parameters choose."""
        rungs = rungs_of(plan, validate_every)
        return cls(plan.scheduler, rungs, plan.reduction, plan.trials, plan.bracket, plan.round_size)

    @property
    def waits(self) -> bool:
        """Whether it decides in rounds."""
        return self.kind not in ("asha", "median")

    @property
    def top(self) -> int:
        """The last rung."""
        return len(self.rungs) - 1

    def legs(self, standings: Sequence[Standing]) -> list[Leg]:
        """What is to be trained now; nothing if the search is over, or must wait for what is on its way.

        In rounds it is asked only if all have arrived.
        """
        begun = len(standings)
        whole = begun - begun % self.bracket if self.waits and begun < self.trials else begun
        going = [Leg(number, standings[number].sent + 1) for number in self._promoted(standings[:whole])]
        if not self.waits and going:
            return going[:1]
        room = min(self.size, self.bracket - begun % self.bracket) if self.waits else 1
        new = min(self.trials, begun + room)
        found = going + [Leg(number, self._first(number)) for number in range(begun, new)]
        if not found and all(each.arrived for each in standings):
            found = self._last(standings)
        return found

    def _promoted(self, standings: Sequence[Standing]) -> Iterator[int]:
        """Trials that may go on, those of the highest rung first, the best first."""
        for rung in reversed(range(self.top)):
            ranked = self._ranked(standings, rung)
            if self.kind == "median":
                going = [number for number in ranked if self._above_median(standings, number, rung)]
            else:
                going = ranked[: int(len(ranked) / self.reduction + 1e-9)]
            yield from (n for n in going if standings[n].sent == rung and standings[n].arrived)

    def _ranked(self, standings: Sequence[Standing], rung: int) -> list[int]:
        """Trials that reached a rung, the best first, the earlier of equals."""
        there = [n for n, each in enumerate(standings) if len(each.values) > rung and not each.out]
        return sorted(there, key=lambda number: (-standings[number].values[rung], number))

    def _above_median(self, standings: Sequence[Standing], number: int, rung: int) -> bool:
        """Whether a trial's best is not below the median of the means of the others, up to a rung."""
        others = [
            fmean(each.values[: rung + 1])
            for n, each in enumerate(standings)
            if n != number and len(each.values) > rung
        ]
        return len(others) < OTHERS or max(standings[number].values[: rung + 1]) >= median(others)

    def _first(self, number: int) -> int:
        """The rung to which a new trial is sent: the lowest. Under Hyperband one in ``reduction`` begins a rung higher,
        one in its square two rungs, and so on, in an order that the trial's number decides.
        """
        if self.kind != "hyperband":
            return 0
        shares = [self.reduction**-rung for rung in range(self.top + 1)]
        begun = [0] * len(shares)
        for count in range(number + 1):
            lacking = [share / sum(shares) * (count + 1) - have for share, have in zip(shares, begun, strict=True)]
            rung = lacking.index(max(lacking))
            begun[rung] += 1
        return rung

    def _last(self, standings: Sequence[Standing]) -> list[Leg]:
        """So that one trial is trained to its end however few there are: the best of the highest rung goes on."""
        for rung in reversed(range(self.top + 1)):
            if ranked := self._ranked(standings, rung):
                return [Leg(ranked[0], rung + 1)] if rung < self.top else []
        return []
