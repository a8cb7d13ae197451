"""Runs and their records: what makes finished work findable, so that nothing is trained twice and nothing is lost.

A run is one (data, network, recipe, seed). Its key is a hash of exactly those and of the source it executes; its folder
``runs/<key>/`` holds ``record.json``, a checkpoint while it trains, its weights, and its predictions. Every file is
written whole or not at all, as soon as it exists.
"""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from datransnet.atomic import write_text
from datransnet.data.manifest import Manifest
from datransnet.engine.recipe import Recipe
from datransnet.models import MODELS, complete_arguments
from datransnet.seeding import derive_seed
from pipeline.support.params import Params
from pipeline.support.source import ROOT, TRAINING, source_digest

SCHEMA = 1
REVISION = "DATRANSNET_REVISION"
"""Names the commit to workers that have the code without its repository."""
Status = Literal["running", "done", "pruned", "infeasible", "failed", "interrupted"]


def digest_of(content: object) -> str:
    """16 hex digits of the canonical JSON of something plain."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """One training, and all it depends on.

    Attributes:
        dataset: name of the dataset.
        split: name of the split.
        data_digest: of the split's manifest.
        protocol: ``holdout`` or ``literature``.
        model: name and keyword arguments of the network.
        recipe: how it is trained.
        seed: of this training.
        source: digest of the code that trains.
        watched: whether the test part is scored at every validation, for ``best_on_test``; it decides nothing.
    """

    dataset: str
    split: str
    data_digest: str
    protocol: str
    model: dict[str, Any]
    recipe: Recipe
    seed: int
    source: str
    watched: bool = False

    @cached_property
    def key(self) -> str:
        """The run's name: a hash of everything above."""
        return digest_of(asdict(self))


@dataclass(frozen=True)
class Record:
    """What is known of a run.

    Attributes:
        run: what it is.
        status: running, done, pruned (stopped early by the search), infeasible (it diverged, or memory did not
            suffice), failed, or interrupted.
        history: metrics of each epoch.
        reason: why it failed, in one line.
        started: when it first began, UTC.
        finished: when it ended, UTC.
        git: revision of the code, ``-dirty`` if it had changes.
        environment: versions and machine.
    """

    run: Run
    status: Status = "running"
    history: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""
    started: str = ""
    finished: str = ""
    git: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def best_iou(self) -> float:
        """Validation IoU of the best epoch so far, 0 before any."""
        return self.history[-1]["best_iou"] if self.history else 0.0


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def git_revision() -> str:
    """The project's commit, ``-dirty`` if its files differ from it.

    ``unknown`` without git, or without a repository of the project's own: one above it is somebody else's.
    """
    if REVISION in os.environ:
        return os.environ[REVISION]
    try:
        top = _git("rev-parse", "--show-toplevel")
        own = bool(top) and Path(top).resolve() == ROOT
        return (_git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") if own else "") or "unknown"
    except FileNotFoundError:  # no git
        return "unknown"


def _git(*command: str) -> str:
    """What git says in the project's folder, empty where it fails."""
    found = subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, check=False)
    return os.fsdecode(found.stdout).removesuffix("\n")


@cache
def environment(device: str) -> dict[str, str]:
    """Versions, and the machine or its GPU, as torch works on one or the other."""
    import torch

    name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "device": name,
    }


def training_source(model: str) -> str:
    """Digest of the code that trains a network; another network's code does not change it.

    Raises:
        ParameterError: if there is no such network.
    """
    return source_digest(*TRAINING, MODELS[model].__module__)


def plan(
    params: Params,
    manifest: Manifest,
    model: Mapping[str, Any],
    recipe: Recipe,
    replicate: int,
    watched: bool = False,
) -> Run:
    """The run of a network and recipe, number ``replicate`` of its seeds.

    The seed depends on the study's seed and the replicate alone, so that variants are compared seed by seed.
    """
    return Run(
        dataset=manifest.dataset,
        split=manifest.split,
        data_digest=manifest.digest,
        protocol=params.protocol,
        model={"name": model["name"], **json.loads(json.dumps(complete_arguments(**model)))},  # as a record reads back
        recipe=recipe,
        seed=derive_seed(params.seed, "run", replicate),
        source=training_source(str(model["name"])),
        watched=watched,
    )


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

    def write(self, record: Record) -> None:
        """Write the record."""
        write_text(self.record_file, json.dumps({"schema": SCHEMA, **asdict(record)}, indent=1) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run, or wait for the process that does; a killed process holds nothing."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "lock"):
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
        record = self.read()
        if record and record.status == "running":
            try:
                with FileLock(self.path / "lock", timeout=0):
                    record = self.read()  # whoever held it a moment ago may have ended well
                    if record and record.status == "running":
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
        if (record := folder.settle("interrupted")) is not None:
            found.append((file.parent.name, record))
    return sorted(found, key=lambda pair: pair[1].started, reverse=True)
