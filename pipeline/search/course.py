"""The course of a search: what is trained next, and what every trial has come to.

It is worked out anew at each start, from the beginning, out of two things that survive a kill: the points in Optuna's
study, and the records of the runs. A leg that the records hold already is not trained again. So a search that was cut
off and goes on takes the course of one that was not, and so does one whose runs another search has trained.
See docs/decisions/0003-resuming-a-search.md.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from pipeline.search.ending import Ending
from pipeline.search.memory import Memory
from pipeline.search.sampler import Sampler
from pipeline.search.schedule import Leg, Schedule, Standing
from pipeline.search.trial import MakeTrial, Trial
from pipeline.study.search_space import Signal
from pipeline.study.status import Status


@dataclass
class Course:
    """What a search has trained, and what it trains next.

    Attributes:
        schedule: decides who goes on.
        sampler: suggests points.
        ending: may end it before its trials do.
        signal: what trials are ranked by before their last epoch.
        memory: keeps points.
        make_trial: what makes a trial, with its runs, from a point.
        since: UTC time of this start; what failed before it is tried again.
        standings: how far each trial has come, in their order.
        trials: the trials, in the same order.
    """

    schedule: Schedule
    sampler: Sampler
    ending: Ending
    signal: Signal
    memory: Memory
    make_trial: MakeTrial
    since: str
    standings: list[Standing] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    _waiting: list[Leg] = field(default_factory=list)
    _under_way: list[Leg] = field(default_factory=list)
    _lost: list[Leg] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Whoever does not wait begins with all that was asked for in earlier starts."""
        if not self.schedule.waits:
            for point, marks, costs in self.memory.asked:
                self._enter(Standing(point, 0, marks=marks, costs=costs))
            for number, trial in enumerate(self.trials):
                reached = max((len(record.history) for record in trial.records() if record), default=0)
                rung = next((n for n, epoch in enumerate(self.schedule.rungs) if epoch >= reached), self.schedule.top)
                self.standings[number].sent = rung
                self._waiting.append(Leg(number, rung))

    @property
    def over(self) -> bool:
        """Whether nothing is left to be trained."""
        self._advance()
        return not self._waiting and not self._under_way

    def begin(self, elsewhere: Collection[str] = ()) -> Leg | None:
        """The leg that is to be trained next; None while it depends on those under way, or if there is none.

        Args:
            elsewhere: keys of runs that another search trains right now.
        """
        self._advance()
        taken = self.under_way.union(elsewhere)
        for leg in self._waiting:
            if self.trials[leg.trial].key not in taken:  # a point may be suggested twice, and has one run
                self._waiting.remove(leg)
                self._under_way.append(leg)
                return leg
        return None

    @property
    def waiting(self) -> list[Leg]:
        """Legs that could begin now."""
        self._advance()
        return list(self._waiting)

    @property
    def under_way(self) -> set[str]:
        """Keys of the trials that are trained right now."""
        return {self.trials[leg.trial].key for leg in self._under_way}

    def end(self, leg: Leg, costs: Mapping[str, float]) -> None:
        """Hear that a leg's training has ended, well or not. One whose process was lost is tried once more."""
        self._under_way.remove(leg)
        standing = self.standings[leg.trial]
        if costs and not standing.costs:
            standing.costs = dict(costs)
            self.memory.keep_costs(leg.trial, costs)
        if self._settled(leg):
            return
        if leg in self._lost:
            standing.out = True
        else:
            self._lost.append(leg)
            self._waiting.insert(0, leg)

    def epochs(self, number: int) -> int:
        """Up to which epoch a trial was sent."""
        return self.schedule.rungs[self.standings[number].sent]

    def ended(self, number: int) -> Status:
        """What became of a trial: what its runs hold beyond the leg to which it was sent does not count."""
        standing, status = self.standings[number], self.trials[number].status
        if standing.out:
            return status
        return Status.DONE if len(standing.values) == len(self.schedule.rungs) else Status.PRUNED

    def _advance(self) -> None:
        """Take up what the schedule wants, and drop what the records hold already, until something must be trained."""
        while True:
            self._waiting = [leg for leg in self._waiting if not self._settled(leg)]
            if self._waiting or (self.schedule.waits and self._under_way):
                return
            enough = self.ending.reached(self.standings)
            schedule = replace(self.schedule, trials=len(self.standings)) if enough else self.schedule
            legs = schedule.legs(self.standings)
            if not legs:
                return
            for leg in legs:
                if leg.trial < len(self.standings):
                    self.standings[leg.trial].sent = leg.rung
            self._ask([leg.rung for leg in legs if leg.trial >= len(self.standings)])
            self._waiting += legs

    def _ask(self, rungs: list[int]) -> None:
        """Enter new trials, sent to these rungs: as they were asked for in an earlier start, or suggested now."""
        known = self.memory.asked[len(self.standings) :][: len(rungs)]
        for (point, marks, costs), rung in zip(known, rungs, strict=False):
            self._enter(Standing(point, rung, marks=marks, costs=costs))
        left = rungs[len(known) :]
        for (point, marks), rung in zip(self.sampler.ask(self.standings, len(left)), left, strict=True):
            self.memory.keep(point, marks)
            self._enter(Standing(point, rung, marks=marks))

    def _enter(self, standing: Standing) -> None:
        point = standing.point  # a database gives its values in another order
        standing.point = {key: point[key] for key in self.sampler.space if key in point}
        self.standings.append(standing)
        self.trials.append(self.make_trial(standing.point))

    def _settled(self, leg: Leg) -> bool:
        """Whether the records say how a leg ended."""
        standing, trial = self.standings[leg.trial], self.trials[leg.trial]
        top = self.schedule.top
        signals = ["iou" if rung == top else self.signal for rung in range(leg.rung + 1)]
        values = [trial.value(epoch, signal) for epoch, signal in zip(self.schedule.rungs, signals, strict=False)]
        reached = [value for value in values if value is not None]
        if len(reached) == len(values) and (leg.rung < top or trial.status is Status.DONE):
            standing.values = reached
            if leg.rung == top:
                self.memory.tell(leg.trial, reached, standing.costs)
        elif trial.status is Status.INFEASIBLE or trial.failure(self.since):
            standing.out = True
        return standing.arrived
