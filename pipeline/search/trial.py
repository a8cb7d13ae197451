"""A trial of the search: a point of the space, the runs it stands for, and how they train side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from datransnet.data.manifest import Manifest
from pipeline.console import Row
from pipeline.runs.cost import cost, latency
from pipeline.runs.execute import Job, row_of
from pipeline.runs.plan import plan
from pipeline.runs.record import Record
from pipeline.runs.run import Run
from pipeline.search.space import Point, decoded
from pipeline.study.handover import TrialResult
from pipeline.study.params import Params
from pipeline.study.search_space import SMALLER, Signal, section_and_name
from pipeline.study.status import Status


@dataclass(frozen=True)
class Trial:
    """A point of the space and the runs it stands for, one a seed."""

    point: Point
    jobs: list[Job]

    @property
    def key(self) -> str:
        """Key of its first run."""
        return self.jobs[0].run.key

    def records(self) -> list[Record | None]:
        """What is known of its runs."""
        return [job.folder.read() for job in self.jobs]

    @property
    def status(self) -> Status:
        """The status that all runs share, else the first that any run has of this list, else running.

        The list is: failed, infeasible, running, interrupted, pruned.
        """
        states = {record.status if record else Status.WAITING for record in self.records()}
        if len(states) == 1:
            return states.pop()
        order = (Status.FAILED, Status.INFEASIBLE, Status.RUNNING, Status.INTERRUPTED, Status.PRUNED)
        return next((state for state in order if state in states), Status.RUNNING)

    def failure(self, since: str) -> str:
        """The reason of a run of this trial that failed at or after the UTC time ``since``; "" if there is none.

        A run whose process died does not count as failed.
        """
        failed = (record for record in self.records() if record and record.status is Status.FAILED)
        return next((record.reason for record in failed if record.finished >= since), "")

    def value(self, epoch: int, signal: Signal) -> float | None:
        """What it was worth after an epoch, mean over seeds, greater is better: ``iou`` is that of the best epoch so
        far, another signal that of the last look at the validation part.

        None if a seed has not come so far; one that ended sooner keeps its last.
        """
        name, sign = ("best_iou", 1.0) if signal == "iou" else (f"val_{signal}", -1.0 if signal in SMALLER else 1.0)
        found = []
        for record in self.records():
            if record is None or (len(record.history) < epoch and record.status is not Status.DONE):
                return None
            found.append(next(sign * look[name] for look in reversed(record.history[:epoch]) if name in look))
        return fmean(found)

    def history(self, epochs: int | None = None) -> list[float]:
        """Best validation IoU up to each epoch, mean over seeds; a seed that ended sooner keeps its last."""
        seeds = [[epoch["best_iou"] for epoch in record.history[:epochs]] for record in self.records() if record]
        longest = max(map(len, seeds), default=0)
        return [fmean(seed[min(epoch, len(seed) - 1)] for seed in seeds if seed) for epoch in range(longest)]

    def costs(self, objectives: Sequence[str]) -> dict[str, float]:
        """What its network takes, by the names of objectives; the validation IoU is none of them."""
        job, found = self.jobs[0], dict[str, float]()
        if {"parameters", "operations"} & set(objectives):
            found |= cost(job.run)
        if "latency" in objectives:
            found["latency"] = latency(job.run, job.runs, job.seat).latency
        return {name: found[name] for name in objectives if name in found}

    def row(self) -> Row:
        """Its line in the progress table."""
        rows = [row_of(job, record) for job, record in zip(self.jobs, self.records(), strict=True)]
        done, planned = sum(row.epoch for row in rows), sum(row.epochs for row in rows)
        return Row(rows[0].name, self.status, done, planned, fmean(row.best_iou for row in rows))


MakeTrial = Callable[[Point], Trial]


def run_of(params: Params, manifest: Manifest, point: Point, replicate: int = 0) -> Run:
    """The run of a point of the space."""
    model = params.model.arguments()
    recipe: dict[str, Any] = {"epochs": params.tune.epochs}
    for key, value in point.items():
        section, name = section_and_name(key)
        (model if section == "model" else recipe)[name] = decoded(params.tune.space[key], value)
    return plan(params, manifest, model, replace(params.recipe, **recipe), replicate)


def describe(number: int, trial: Trial, status: Status, epochs: int, costs: Mapping[str, float]) -> TrialResult:
    """A trial as it is handed on: what became of it, up to which epoch it was sent, what its network takes."""
    history, records = trial.history(epochs), [record for record in trial.records() if record]
    return TrialResult(
        number=number,
        key=trial.key,
        keys=[job.run.key for job in trial.jobs],
        status=status,
        reason=next((record.reason for record in records if record.reason), ""),
        epochs=sum(min(len(record.history), epochs) for record in records),
        best_iou=history[-1] if history and status is not Status.INFEASIBLE else 0.0,
        costs=dict(costs),
        point=trial.point,
        history=history,
    )
