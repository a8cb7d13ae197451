"""What a person sees of sweeps: its progress, and each failure once."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from ray import tune
from ray.exceptions import RayActorError, RayError, RayTaskError

from datransnet.errors import DATransNetError
from pipeline.console import Progress
from pipeline.parallel.session import cluster_use
from pipeline.search.course import Course


class Listener(tune.Callback):
    """Shows the progress of all trials on the terminal while Ray runs them."""

    def __init__(self, progress: Progress, failures: "Failures", courses: Mapping[str, Course]) -> None:
        self.progress, self.failures, self.courses = progress, failures, courses
        self._due = 0.0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Learn what Ray calls it."""
        made = self.courses[trial.config["network"]].make_trial(trial.config["point"])
        self.failures.names[str(trial)] = made.jobs[0].name

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Refresh the table, at most once a second, and for at most a twentieth of the time."""
        started = time.monotonic()
        if started > self._due:
            rows = [trial.row() for course in self.courses.values() for trial in list(course.trials)]
            self.progress.update(rows, cluster_use())
            self._due = time.monotonic() + max(1.0, 20 * (time.monotonic() - started))


class Failures(logging.Filter):
    """A filter of Ray's log, active while it is used as a context: each reason for a failed trial is shown once.

    A reason is shortened to one line where that says enough.

    Attributes:
        names: Ray's name of a trial → our name of it.
    """

    LOGS = ("ray.tune.execution.tune_controller", "ray.tune.tune")

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        self._told = set[str]()

    def __enter__(self) -> "Failures":
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        for name in self.LOGS:
            logging.getLogger(name).addFilter(self)
        return self

    def __exit__(self, *ended: object) -> None:
        for name in self.LOGS:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a line of Ray's log through once. Dead workers and errors that a record explains become one line."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, RayError):
            return "Trials did not complete" not in record.msg  # the stage ends with their reasons
        cause = error.cause if isinstance(error, RayTaskError) else error
        name = next((name for known, name in self.names.items() if record.msg.endswith(f" {known}")), "a trial")
        text = f"{name}: {str(cause).splitlines()[0]}"
        if isinstance(cause, DATransNetError | RayActorError):
            record.msg, record.exc_info = text, None
        new = text not in self._told
        self._told.add(text)
        return new
