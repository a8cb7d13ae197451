"""The sections `resources` and `cluster` of the parameters: what a training occupies, and where it runs."""

import math
import os

from pydantic import Field, field_validator, model_validator

from pipeline.study.seat import Seat
from pipeline.study.section import Strict


class Resources(Strict):
    """What one training occupies.

    ``gpus`` may be a fraction: 0.5 puts two on one GPU. If it is null, as many share a GPU as its memory holds, which
    every stage that trains measures first on its own machine; without a GPU there, training is on the CPU. A training
    may consist of several ``processes`` on one machine, each with ``cpus`` threads and a GPU of its own: then ``gpus``
    is their number, or 0.
    """

    processes: int = Field(1, ge=1, le=64)
    cpus: int = Field(1, ge=1)
    gpus: float | None = Field(0, ge=0)

    @model_validator(mode="after")
    def _a_gpu_each(self) -> "Resources":
        if self.processes == 1 and self.share > 1:
            raise ValueError(f"gpus = {self.gpus:g} is for as many processes: set processes: {math.ceil(self.share)}")
        if self.processes > 1 and self.gpus not in (0, self.processes):
            raise ValueError(f"{self.processes} processes have a GPU each: set gpus: {self.processes}, or 0")
        return self

    @property
    def cores(self) -> int:
        """CPU threads of one training, all its processes together."""
        return self.processes * self.cpus

    @property
    def share(self) -> float:
        """GPUs of one training, which may be a fraction; 0 until it has been measured."""
        return self.gpus or 0.0

    @property
    def device(self) -> str:
        """Where torch works in a training."""
        return "cuda" if self.share else "cpu"

    @property
    def seat(self) -> Seat:
        """What a training needs to know of it."""
        return Seat(self.processes, self.cpus, self.device)

    @property
    def here(self) -> Seat:
        """The same for what this process does itself, before GPUs have been measured too."""
        return Seat(self.processes, self.cpus, "cpu" if self.gpus == 0 else "cuda")


class Cluster(Strict):
    """Where a sweep runs and what it remembers, if not on this machine; results do not depend on it.

    ``address`` is that of a running Ray (``RAY_ADDRESS`` has precedence). ``storage`` is the database of the search's
    study as SQLAlchemy names it, such as ``postgresql+psycopg2://user@host/optuna``; its password comes from PGPASSWORD
    or a pass file, never from here. A relative file, ``sqlite:///x.db``, is one of the folder with ``.dvc``.
    """

    address: str | None = None
    storage: str | None = None

    @property
    def running(self) -> str | None:
        """Address of a running Ray; None where a stage starts one of its own."""
        return os.environ.get("RAY_ADDRESS") or self.address

    @field_validator("storage")
    @classmethod
    def _without_password(cls, value: str | None) -> str | None:
        if value is not None and ":" in value.partition("://")[2].rpartition("@")[0]:
            raise ValueError("leave the password out: set PGPASSWORD, or write a pass file")
        return value
