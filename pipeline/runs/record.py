"""Runs and their records: what makes finished work findable, so that nothing is trained twice and nothing is lost.

The key of a run is a hash of what it depends on (`pipeline.runs.run`). Its folder ``runs/<key>/`` holds
``record.json``, a checkpoint while it trains, its weights, and its predictions. Every file is written whole or not at
all, as soon as it exists.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from datransnet.atomic import write_text
from datransnet.engine.recipe import Recipe
from pipeline.runs.provenance import now
from pipeline.runs.run import Run
from pipeline.study.status import Status

SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """What is known of a run.

    Attributes:
        run: what it is.
        status: what became of it.
        history: metrics of each epoch.
        reason: why it failed, in one line.
        started: when it first began, UTC.
        finished: when it ended, UTC.
        git: revision of the code, ``-dirty`` if it had changes.
        environment: versions and machine.
    """

    run: Run
    status: Status = Status.RUNNING
    history: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""
    started: str = ""
    finished: str = ""
    git: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))  # JSON, and whoever else, may give its value

    @property
    def best_iou(self) -> float:
        """Validation IoU of the best epoch so far, 0 before any."""
        return self.history[-1]["best_iou"] if self.history else 0.0


OWN = ("record.json", "checkpoint.pt", "weights.safetensors", "error.log", "lock", "*-logits.npz", "latency-*.json")
"""What is written into a run's folder."""


class RunFolder:
    """The folder of one run."""

    def __init__(self, runs: Path, key: str) -> None:
        self.path = runs / key
        self.record_file = self.path / "record.json"
        self.checkpoint = self.path / "checkpoint.pt"
        self.weights = self.path / "weights.safetensors"
        self.log = self.path / "error.log"

    def read(self) -> Record | None:
        """The record, or None where the run never began."""
        if not self.record_file.exists():
            return None
        content = json.loads(self.record_file.read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA:
            return None  # an older schema: the run is planned anew
        run = content.pop("run")
        return Record(run=Run(**{**run, "recipe": Recipe(**run["recipe"])}), **content)

    @property
    def written(self) -> int:
        """When the record was written, in ns; 0 where the run never began."""
        try:
            return self.record_file.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def write(self, record: Record) -> None:
        """Write the record."""
        write_text(self.record_file, json.dumps({"schema": SCHEMA, **asdict(record)}, indent=1) + "\n")

    @contextmanager
    def locked(self, patience: float = -1) -> Iterator[None]:
        """Hold the run, or wait for the process that does; a killed process holds nothing.

        Raises:
            Timeout: if somebody else holds it for longer than ``patience`` seconds; below 0 the wait has no end.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "lock", timeout=patience):
            yield

    def is_held(self) -> bool:
        """Whether a process trains this run now."""
        try:
            with FileLock(self.path / "lock", timeout=0):
                return False
        except Timeout:
            return True

    def remove(self) -> bool:
        """Remove what was written into the folder; returns whether nothing else was there, so that it is gone."""
        for pattern in (*OWN, ".*.partial"):
            for path in self.path.glob(pattern):
                path.unlink()
        if any(self.path.iterdir()):
            return False
        self.path.rmdir()
        return True

    def settle(self, status: Status) -> Record | None:
        """Give a run that no process holds any more its final status, unless it has one; returns the record."""

        def is_open(record: Record | None) -> bool:
            return record is not None and record.status in {Status.RUNNING, Status.INTERRUPTED} - {status}

        record = self.read()
        if is_open(record):
            try:
                with FileLock(self.path / "lock", timeout=0):
                    record = self.read()  # whoever held it a moment ago may have ended well
                    if record and is_open(record):
                        record = replace(record, status=status, finished=now())
                        self.write(record)
            except Timeout:
                pass
        return record


def all_records(runs: Path) -> list[tuple[str, Record]]:
    """Key and record of every run, the latest first; what a killed process left counts as interrupted."""
    found = []
    for file in runs.glob("*/record.json"):
        folder = RunFolder(runs, file.parent.name)
        if (record := folder.settle(Status.INTERRUPTED)) is not None:
            found.append((file.parent.name, record))
    return sorted(found, key=lambda pair: pair[1].started, reverse=True)
