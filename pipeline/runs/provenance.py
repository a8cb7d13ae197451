"""Where a result comes from: the commit, the versions, the machine and the time."""

import os
import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pipeline.runs.source import ROOT

REVISION = "DATRANSNET_REVISION"
"""Names the commit to workers that have the code without its repository."""


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


def _processor() -> str:
    """The processor as it calls itself, else its architecture."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


@cache
def environment(device: str) -> dict[str, str]:
    """Versions, and the machine or its GPU, as torch works on one or the other."""
    import torch

    name = torch.cuda.get_device_name() if device.startswith("cuda") else _processor()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "device": name,
    }
