"""MLflow follows the records of a stage's trainings, in a thread of the stage."""

import time
from collections.abc import Callable, Mapping
from threading import Event, Thread

from pipeline.runs.record import RunFolder
from pipeline.runs.run import Called, seed_numbers
from pipeline.tracking.tracker import Tracker
from pipeline.tracking.training_run import TrainingRun

PAUSE = 1.0
"""Seconds between two looks at the records."""
SHARE = 0.5
"""The share of the thread's time that looking and sending may take: a slow store is asked less often."""

Children = Callable[[], Mapping[str, Called]]
"""Gives the names of each training of a stage by its run key, in an order that stays; a search gets more of them."""


class Follower:
    """Brings the runs of trainings in MLflow up to their records, again and again.

    The processes that train need no MLflow and no way to its server. What the store did not take is sent at the next
    look, with what came meanwhile.
    """

    def __init__(self, tracker: Tracker, parent: str, stage: str, children: Children) -> None:
        self.tracker, self.parent, self.stage, self.children = tracker, parent, stage, children
        self._runs: dict[str, TrainingRun] = {}
        self._sent: dict[str, int] = {}
        self._ended = Event()
        self._thread = Thread(target=self._keep_following, name="mlflow-follower", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def end(self) -> None:
        """End the thread, after what it is sending."""
        self._ended.set()
        self._thread.join()

    def follow(self) -> int:
        """Send what MLflow lacks of the records that have changed since the last time; returns how many those were.

        Raises:
            Exception: as the store does.
        """
        children, number = self.children(), 0
        numbers = seed_numbers(called.name for called in children.values())
        for (key, called), seed_number in zip(children.items(), numbers, strict=True):
            folder = RunFolder(self.tracker.home / "runs", key)
            written = folder.written
            if written == self._sent.get(key, 0) or (record := folder.read()) is None:
                continue
            run = self._runs.setdefault(key, TrainingRun(self.tracker, self.parent, self.stage, called, seed_number))
            run.deliver(record)
            self._sent[key], number = written, number + 1
        return number

    def _keep_following(self) -> None:
        pause, away = PAUSE, False
        while not self._ended.wait(pause):
            began = time.monotonic()
            try:
                self.follow()
                away = False
            except Exception as error:  # whatever the store raises, training goes on and the records stay
                if not away:
                    self.tracker.unreachable(error)
                away = True
            pause = max(PAUSE, (time.monotonic() - began) * (1 / SHARE - 1))
