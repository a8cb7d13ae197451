"""Which point is tried next: near what the parameters hold for good at first, then as an Optuna sampler suggests.

Optuna's TPE draws ten trials at random before it learns; a search of a training that takes minutes often has fewer. So
the first trials are spread evenly (Sobol), the more densely the nearer to the points that the parameters name, and the
sampler learns from there on. What is suggested depends on the seed, the trial's number and the trials before it alone.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import JsonValue
from scipy import stats
from scipy.stats import qmc

from datransnet.seeding import derive_seed
from pipeline.search.schedule import Standing
from pipeline.search.space import Point, Space, directions, distribution, encode, place_of, point_at, suggest
from pipeline.study.params import Params
from pipeline.study.search_space import Choice, Interval, SamplerName

START = 8
"""Trials before an Optuna sampler is asked."""
WIDTH = 0.2
"""Standard deviation of the density around a known point, as a share of a dimension's range."""
TRUST = 0.5
"""Share of the density that lies around known points at first; the rest is uniform."""


def _tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(seed=seed, n_startup_trials=1, multivariate=True, group=True)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "gp": lambda seed: GPSampler(seed=seed, n_startup_trials=1),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "random": lambda seed: RandomSampler(seed=seed),
}


@dataclass(frozen=True)
class Sampler:
    """Suggests points.

    Attributes:
        kind: as the parameters name it.
        space: the points' space.
        seed: of the search.
        points: tried first, each complete as far as it is known.
        rungs: number of rungs of the schedule.
        directions: of the objectives.
        earlier: ended trials of another search.
    """

    kind: SamplerName
    space: Space
    seed: int
    points: Sequence[Point] = ()
    rungs: int = 1
    directions: Sequence[StudyDirection] = (StudyDirection.MAXIMIZE,)
    earlier: Sequence[FrozenTrial] = ()

    @classmethod
    def of(cls, params: Params, rungs: int, earlier: Sequence[FrozenTrial]) -> "Sampler":
        """The sampler that the parameters choose."""
        plan = params.tune
        points = [{key: encode(value) for key, value in point.items()} for point in plan.points]
        return cls(
            plan.sampler, plan.space, derive_seed(params.seed, "search"), points, rungs, directions(plan), earlier
        )

    @cached_property
    def _distributions(self) -> dict[str, BaseDistribution]:
        return {key: distribution(dimension) for key, dimension in self.space.items()}

    def ask(self, standings: Sequence[Standing], number: int) -> list[tuple[Point, dict[str, JsonValue]]]:
        """The next points, and what Optuna's sampler wants to be kept with each.

        Each is suggested as though those before it were being trained.
        """
        study = self._study(standings)
        asked = []
        for position in range(len(standings), len(standings) + number):
            if self.kind == "qmc" or position < len(self.points) or (position < START and self.kind != "random"):
                point = self._start(position)
                trial = self._frozen(point, TrialState.RUNNING)
                study.add_trial(trial)
                asked.append((point, trial.system_attrs))
            else:
                study.sampler = SAMPLERS[self.kind](derive_seed(self.seed, "trial", position))
                live = study.ask()
                suggest(self.space, live)
                asked.append((live.params, study.get_trials(deepcopy=False)[-1].system_attrs))
        return asked

    def _start(self, position: int) -> Point:
        """A trial's point before any sampler is asked, by its position."""
        uniform = dict(zip(self.space, _places(len(self.space), self.seed, position), strict=True))
        if not self.points:
            return point_at(self.space, uniform)
        known = self.points[position % len(self.points)]
        centre = place_of(self.space, known)
        if position < len(self.points):
            return known | {
                key: value for key, value in point_at(self.space, uniform | centre).items() if key not in known
            }
        near = {key: leaning(self.space[key], uniform[key], centre[key]) for key in centre}
        return point_at(self.space, uniform | near)

    def _study(self, standings: Sequence[Standing]) -> optuna.Study:
        """All that is known, as Optuna has it."""
        study = optuna.create_study(directions=self.directions)
        study.add_trials(self.earlier)
        study.add_trials(map(self._told, standings))
        return study

    def _told(self, standing: Standing) -> FrozenTrial:
        """A trial as Optuna's sampler hears of it.

        One that was stopped is pruned, with its last value: TPE holds those that went farther for better. One that is
        out is pruned without a value, which TPE holds for the worst.
        """
        if standing.out:
            return self._frozen(standing.point, TrialState.PRUNED, standing.marks)
        if not standing.values:
            return self._frozen(standing.point, TrialState.RUNNING, standing.marks)
        if len(standing.values) < self.rungs:
            reached = {len(standing.values): standing.values[-1]}
            return self._frozen(standing.point, TrialState.PRUNED, standing.marks, reached=reached)
        values = [standing.values[-1], *standing.costs.values()]
        return self._frozen(standing.point, TrialState.COMPLETE, standing.marks, values=values)

    def _frozen(
        self,
        point: Point,
        state: TrialState,
        marks: dict[str, JsonValue] | None = None,
        values: list[float] | None = None,
        reached: dict[int, float] | None = None,
    ) -> FrozenTrial:
        dimensions = {key: self._distributions[key] for key in point}
        return create_trial(
            state=state,
            params=point,
            distributions=dimensions,
            values=values,
            intermediate_values=reached,
            system_attrs=marks,
        )


def leaning(dimension: Choice | Interval, quantile: float, centre: float) -> float:
    """Move a uniform quantile towards a place that is held for good: evenly spread ones become denser there.

    A share `TRUST` of the density is normal around ``centre``, cut off at the ends of the range, or is the choice's
    there; the rest stays uniform.
    """
    if isinstance(dimension, Choice):
        number = len(dimension.choice)
        share = np.full(number, (1 - TRUST) / number)
        share[int(centre * number)] += TRUST
        upper = np.cumsum(share)
        return float((min(int(np.searchsorted(upper, quantile, side="right")), number - 1) + 0.5) / number)
    grid = np.linspace(0, 1, 257)
    normal = stats.norm.cdf(grid, centre, WIDTH)
    known = (normal - normal[0]) / (normal[-1] - normal[0])
    return float(np.interp(quantile, TRUST * known + (1 - TRUST) * grid, grid))


@lru_cache
def _block(dimensions: int, seed: int, power: int) -> npt.NDArray[np.float64]:
    return qmc.Sobol(dimensions, rng=derive_seed(seed, "start")).random_base2(power)


def _places(dimensions: int, seed: int, position: int) -> list[float]:
    """The n-th of a sequence of places that are spread evenly."""
    places: list[float] = _block(dimensions, seed, max(6, position.bit_length()))[position].tolist()
    return places
