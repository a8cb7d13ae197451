"""Does the search earn its keep? Strategies replayed on recorded learning curves (`benchmarks.recorded`).

``python -m benchmarks.search --replay`` prints the tables and writes them as JSON. Each strategy searches the recorded
points over and over, with another seed each time: what it suggests becomes the nearest point that it has not tried,
what it trains is looked up. Counted are epochs until it has reached what random search reaches with 24 whole trainings
(the median over seeds). The interval is that of a median, exact and distribution-free; a replay that does not reach the
goal with all its trials counts as infinitely long. A new sampler or scheduler is one entry of `STRATEGIES`.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from scipy import stats

from benchmarks.network import RESULTS, device_name
from benchmarks.recorded import CURVES, Table, read_table
from datransnet.seeding import derive_seed
from pipeline.runs.provenance import git_revision
from pipeline.runs.source import ROOT
from pipeline.search.sampler import Sampler
from pipeline.search.schedule import Schedule, Standing, rungs_of
from pipeline.search.space import Point, Space, encode, place_of, suggest
from pipeline.study.params import Params
from pipeline.study.search_space import SMALLER, Choice, Tune
from pipeline.study.study import Study

GOAL_TRIALS = 24
"""Whole trainings of random search, whose best is the goal."""
TRIALS = 48
"""Trials that a strategy has until it must have reached the goal."""
APART = 10.0
"""How far apart two values of a choice lie, in ranges of an interval: what is suggested keeps its choices."""


@dataclass(frozen=True)
class Recording:
    """Recorded curves of a study's space, to search in."""

    params: Params
    table: Table

    @property
    def space(self) -> Space:
        """The study's."""
        return self.table.space

    @cached_property
    def places(self) -> npt.NDArray[np.float64]:
        """Where its points lie, (N, dimensions)."""
        return np.array([self._place(point) for point in self.table.points])

    def _place(self, point: Point) -> list[float]:
        place = place_of(self.space, point)
        return [place.get(key, 0) * (APART if isinstance(kind, Choice) else 1) for key, kind in self.space.items()]

    def nearest(self, point: Point, tried: Sequence[int]) -> int:
        """The recorded point that is nearest to one, of those that are not tried yet."""
        away = ((self.places - self._place(point)) ** 2).sum(axis=1)
        away[list(tried)] = np.inf
        return int(away.argmin())

    def value(self, row: int, epoch: int, signal: str) -> float:
        """What a training is worth after an epoch, greater is better."""
        if signal == "iou":
            return float(self.table.best_iou[row, epoch - 1])
        value = float(self.table.curves[signal][row, epoch - 1])
        return -np.inf if np.isnan(value) else -value if signal in SMALLER else value


Part = tuple[int, int, int]
"""What a strategy trains: a row of the table, the epochs it was trained before, and up to which it is trained now."""
Strategy = Callable[[Recording, int], Iterator[Part]]


def random_search(recorded: Recording, seed: int) -> Iterator[Part]:
    """Points in any order, each trained to its end."""
    for row in _shuffled(recorded, seed):
        yield row, 0, recorded.table.epochs


def i_epoch(recorded: Recording, seed: int, *, number: int, best: int, signal: str = "iou") -> Iterator[Part]:
    """Of so many random points, each trained for one epoch, the best few to their end (arXiv 2307.15422); again."""
    rows = _shuffled(recorded, seed)
    for first in range(0, len(rows), number):
        known = rows[first : first + number]
        for row in known:
            yield row, 0, 1
        for row in sorted(known, key=lambda row: -recorded.value(row, 1, signal))[:best]:
            yield row, 1, recorded.table.epochs


def tpe_and_asha(recorded: Recording, seed: int) -> Iterator[Part]:
    """The default until November 2026: Optuna's TPE as it comes, with asynchronous halving from the third epoch on,
    which tells Optuna of a stopped trial as of one that is complete.
    """
    study = optuna.create_study(direction="maximize")
    tried, last, known = list[int](), recorded.table.epochs, list[float]()
    for number in range(TRIALS):
        study.sampler = optuna.samplers.TPESampler(seed=derive_seed(seed, "trial", number))
        if number < len(_points(recorded)):
            study.enqueue_trial(_points(recorded)[number])
        trial = study.ask()
        suggest(recorded.space, trial)
        row = recorded.nearest(trial.params, tried)
        tried.append(row)
        early = recorded.value(row, 3, "iou")
        known.append(early)
        reached = 3 if len(known) > 1 and early < np.percentile(known[:-1], 50) else last
        yield row, 0, reached
        study.tell(trial, recorded.value(row, reached, "iou"))


def rounds(recorded: Recording, seed: int, *, known: bool = True, **changes: object) -> Iterator[Part]:
    """The sweep's own sampler and schedule, with other parameters than the defaults where they are given."""
    plan = Tune(trials=TRIALS, epochs=recorded.table.epochs, space=dict(recorded.space), **changes)
    rungs = rungs_of(plan, 1)
    points = _points(recorded) if known else []
    sampler = Sampler(plan.sampler, plan.space, derive_seed(seed, "search"), points, len(rungs))
    schedule, standings, rows = Schedule.of(plan, 1), list[Standing](), list[int]()
    while legs := schedule.legs(standings):
        new = [leg for leg in legs if leg.trial >= len(standings)]
        for point, marks in sampler.ask(standings, len(new)):
            rows.append(recorded.nearest(point, rows))
            standings.append(Standing(recorded.table.points[rows[-1]], -1, marks=marks))
        for leg in legs:
            standing, row = standings[leg.trial], rows[leg.trial]
            yield row, rungs[standing.sent] if standing.sent >= 0 else 0, rungs[leg.rung]
            standing.sent = leg.rung
            early = [recorded.value(row, epoch, plan.signal) for epoch in rungs[: leg.rung + 1]]
            top = [recorded.value(row, plan.epochs, "iou")] if leg.rung == schedule.top else []
            standing.values = [*early[: leg.rung + 1 - len(top)], *top]


def _shuffled(recorded: Recording, seed: int) -> list[int]:
    rng = np.random.default_rng(derive_seed(seed, "random"))
    return [int(row) for row in rng.permutation(len(recorded.table.points))]


def _points(recorded: Recording) -> list[Point]:
    return [{key: encode(value) for key, value in point.items()} for point in recorded.params.tune.points]


STRATEGIES: dict[str, Strategy] = {
    "random, each to its end": random_search,
    "i-Epoch: best 2 of 12": partial(i_epoch, number=12, best=2),
    "i-Epoch: best 3 of 24": partial(i_epoch, number=24, best=3),
    "i-Epoch: best 3 of 24 by average precision": partial(i_epoch, number=24, best=3, signal="average_precision"),
    "TPE and ASHA (the default until now)": tpe_and_asha,
    "random, halving": partial(rounds, sampler="random"),
    "evenly spread, halving": partial(rounds, sampler="qmc", known=False),
    "random, ASHA": partial(rounds, sampler="random", scheduler="asha"),
    "TPE, each to its end": partial(rounds, scheduler="none"),
    "TPE, Hyperband": partial(rounds, scheduler="hyperband"),
    "TPE, ASHA": partial(rounds, scheduler="asha"),
    "NSGA-II, halving": partial(rounds, sampler="nsga2"),
    "GP, halving": partial(rounds, sampler="gp"),
    "TPE, halving by IoU": partial(rounds, signal="iou"),
    "TPE, halving by soft IoU": partial(rounds, signal="soft_iou"),
    "TPE, halving, promoted at once": partial(rounds, bracket=1),
    "TPE, halving, no known point": partial(rounds, known=False),
    "TPE, halving (the default)": rounds,
}
SLOW = {"GP, halving": 20}
"""Strategies of which there is one replay in so many, since a suggestion takes them long."""


@dataclass(frozen=True)
class Reached:
    """How long a strategy takes.

    Attributes:
        strategy: its name.
        median: of the epochs until the goal is reached.
        low: lower end of the median's 95 % interval.
        high: upper end.
        share: of the replays that reach it at all.
        replays: their number.
        seconds: that they took.
    """

    strategy: str
    median: float
    low: float
    high: float
    share: float
    replays: int
    seconds: float


def epochs_to(goal: float, recorded: Recording, strategy: Strategy, seed: int) -> float:
    """Epochs that a strategy trains until it has reached an IoU."""
    epochs = 0
    for row, first, last in strategy(recorded, seed):
        found = np.flatnonzero(recorded.table.best_iou[row, first:last] >= goal)
        if len(found):
            return float(epochs + found[0] + 1)
        epochs += last - first
    return np.inf


def best_of(number: int, recorded: Recording, strategy: Strategy, seed: int) -> float:
    """The best IoU of a strategy's first trials, each trained to its end."""
    return max(float(recorded.table.best_iou[row, -1]) for row, _, _ in islice(strategy(recorded, seed), number))


def _prepare() -> None:
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def replay(recorded: Recording, replays: int, workers: int) -> tuple[float, list[Reached], pd.DataFrame]:
    """The goal, how long each strategy takes to it, and how the first few trials compare with random ones."""
    found = []
    with ProcessPoolExecutor(workers, initializer=_prepare) as pool:

        def over_seeds(measure: Callable[[int], float], number: int) -> npt.NDArray[np.float64]:
            return np.array(list(pool.map(measure, range(number), chunksize=10)))

        goal = float(np.median(over_seeds(partial(best_of, GOAL_TRIALS, recorded, random_search), replays)))
        for name, strategy in STRATEGIES.items():
            started, number = time.monotonic(), replays // SLOW.get(name, 1)
            epochs = over_seeds(partial(epochs_to, goal, recorded, strategy), number)
            interval: Any = stats.quantile_test(epochs, p=0.5).confidence_interval(0.95)  # its stub says float
            middle, share = float(np.median(epochs)), float(np.isfinite(epochs).mean())
            seconds = time.monotonic() - started
            found.append(Reached(name, middle, interval.low, interval.high, share, number, seconds))
            print(f"{name}: {middle:g} [{interval.low:g}, {interval.high:g}]", file=sys.stderr)
        few = []
        whole = partial(rounds, scheduler="none")
        for number in (4, 6, 8):
            values = {
                name: over_seeds(partial(best_of, number, recorded, strategy), replays)
                for name, strategy in (("ours", whole), ("random", random_search))
            }
            test = stats.ttest_ind(values["ours"], values["random"], equal_var=False)
            low, high = test.confidence_interval(0.95)
            means = {name: 100 * each.mean() for name, each in values.items()}
            few.append({"trials": number, **means, "gain low": 100 * low, "gain high": 100 * high})
    return goal, found, pd.DataFrame(few)


def recording_of(study: Path, curves: Path) -> Recording:
    """Recorded curves with the parameters of their study."""
    params = Study(study).params
    return Recording(params, read_table(curves, params.tune.space))


def main() -> None:
    """Replay, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replay", action="store_true", required=True, help="there is nothing else to do so far")
    parser.add_argument("--study", type=Path, default=ROOT, help="folder of the study whose space was recorded")
    parser.add_argument("--curves", type=Path, default=CURVES / "quick.csv")
    parser.add_argument("--replays", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    recorded = recording_of(options.study.resolve(), options.curves)
    goal, found, few = replay(recorded, options.replays, options.workers)
    frame = pd.DataFrame([asdict(each) for each in found])
    print(f"\nEpochs until an IoU of {100 * goal:.1f} % is reached, {len(recorded.table.points)} recorded points\n")
    print(frame.to_markdown(index=False, floatfmt=".3g"))
    print("\nBest IoU (%) after few trials, each trained to its end; 95 % interval of the gain\n")
    print(few.to_markdown(index=False, floatfmt=".3g"))
    content = {
        "schema": 1,
        "device": device_name("cpu"),
        "command": " ".join(["python -m benchmarks.search", *sys.argv[1:]]),
        "git": git_revision(),
        "goal": goal,
        "strategies": frame.to_dict("records"),
        "few_trials": few.to_dict("records"),
    }
    target = RESULTS / f"search-{options.curves.stem}.json"
    target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\n{target}")


if __name__ == "__main__":
    main()
