"""The hours that a sweep may take."""

import math
import time
from collections.abc import Sequence
from typing import Any

from ray import tune

from pipeline.search.memory import Memory
from pipeline.search.trial import Trial
from pipeline.study.params import Params

ACCOUNT_SECONDS = 10.0
"""Seconds between two notes, in the search's database, of the time that the sweep has taken so far."""


class Budget(tune.Stopper):
    """Ends a sweep whose hours are spent; hours of earlier starts count."""

    def __init__(self, memory: Memory, trials: Sequence[Trial], params: Params) -> None:
        self.memory, self.trials, self.params = memory, trials, params
        self.before = memory.seconds
        self.started, self.entered, self.gpu_seconds = time.monotonic(), -math.inf, 0.0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped by it."""
        return False

    def stop_all(self) -> bool:
        """Whether the hours are spent."""
        plan, moment = self.params.tune, time.monotonic()
        spent = self.before + moment - self.started
        if moment - self.entered > ACCOUNT_SECONDS:
            self.entered = moment
            self.memory.seconds = spent
            if plan.gpu_hours is not None:
                self.gpu_seconds = self._gpu_seconds()
        if plan.wall_hours is not None and spent > 3600 * plan.wall_hours:
            return True
        return plan.gpu_hours is not None and self.gpu_seconds > 3600 * plan.gpu_hours

    def _gpu_seconds(self) -> float:
        """Seconds of GPUs that all epochs took; a fraction of a GPU counts as that."""
        records = [record for trial in self.trials for record in trial.records() if record]
        return self.params.resources.share * sum(epoch["seconds"] for record in records for epoch in record.history)

    def close(self) -> None:
        """Write the time that the sweep has taken so far into the search's database."""
        self.memory.seconds = self.before + time.monotonic() - self.started
