"""Small studies, run by the real commands.

Nothing here has a deadline: how long a thing takes depends on the machine and on what else it does. Tests wait for
events, and what hangs is ended by pytest's own limit (``timeout`` in pyproject.toml).
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from filelock import FileLock

Found = TypeVar("Found")
STAGES = ("fetch", "split", "tune", "train", "ablate", "evaluate", "report")


def tiny_params() -> dict[str, Any]:
    """Parameters of a study that takes seconds."""
    return {
        "study": "tiny",
        "seed": 7,
        "protocol": "holdout",
        "data": {
            "dataset": "Synthetic",
            "source": None,
            "split": "generated",
            "synthetic": {"train": 12, "val": 4, "test": 5, "size": 32},
        },
        "model": {"name": "datransnet", "image_size": 32, "width": 4},
        "recipe": {"epochs": 8, "batch_size": 4, "lr": 5e-3, "view": "crop", "size": 32, "augment": True},
        "tune": {
            "trials": 4,
            "epochs": 6,
            "grace": 2,
            "reduction": 2,
            "space": {
                "recipe.lr": {"low": 1e-4, "high": 1e-2, "log": True},
                "model.dilations": {"choice": [[1], [1, 2]]},
            },
            "points": [{"recipe.lr": 5e-3}],
        },
        "train": {"seeds": 2},
        "ablate": {"seeds": 1, "variants": {"without_gfem": {"gfem": False}, "plain": {"gradient": "plain"}}},
        "evaluate": {"conventions": ["basicirstd", "datransnet"]},
    }


def interruptible() -> None:
    """Let Ctrl-C reach a process also where the tests themselves were started in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class StudyFolder:
    """A study in a folder of its own, and its commands as processes."""

    def __init__(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        folder.mkdir(exist_ok=True)
        if params is not None:
            self.write(params)

    def write(self, params: dict[str, Any]) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, as a terminal does."""
        return self.python("-m", "pipeline", *arguments, **environment)

    def python(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The same of any Python."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "TEST_MARK": self.mark, "MLFLOW_TRACKING_URI": "", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            preexec_fn=interruptible,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def succeed(self, *stages: str) -> None:
        for stage in stages:
            done = self.run(stage)
            assert done.returncode == 0, f"{stage}: {done.stdout}{done.stderr}"

    def processes(self) -> dict[int, str]:
        """Command lines of processes that carry this study's mark, by their ids."""
        found = {}
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and f"TEST_MARK={self.mark}".encode() in (process / "environ").read_bytes():
                    line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if line:  # a zombie has none
                        found[int(process.name)] = line
            except OSError:
                continue
        return found

    def wait_until_alone(self) -> None:
        """Wait until none of the study's processes runs; if pytest's limit ends the wait, say who does, and kill it."""
        try:
            while self.processes():
                time.sleep(0.2)
        except BaseException:
            for number, line in self.processes().items():
                print("left behind:", line)
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            raise

    def searches(self) -> dict[str, dict[str, Any]]:
        """What the stage tune found, by network."""
        found = json.loads((self.folder / "results/tune.json").read_text(encoding="utf-8"))
        return dict(found["networks"])

    def tuned(self) -> dict[str, Any]:
        """The search of the subject."""
        return next(iter(self.searches().values()))

    def copy(self, folder: Path) -> "StudyFolder":
        shutil.copytree(self.folder, folder, symlinks=True)
        return StudyFolder(folder)


def wait_for(
    condition: Callable[[], Found], process: subprocess.Popen[Any], otherwise: str, log: Path | None = None
) -> Found:
    """What a condition gives as soon as that is true; fails if the process that should bring it about ends without.

    What the process said is read from its ``log``, or else from its pipes.
    """
    while True:
        ended = process.poll() is not None  # asked first: what it did before its end counts
        if found := condition():
            return found
        if ended:
            said = log.read_text(encoding="utf-8") if log else "".join(text or "" for text in process.communicate())
            pytest.fail(f"{otherwise}; its process ended with {process.returncode}: {said}")
        time.sleep(0.02)


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a process that leads a group, and the group, also where they have ended by themselves."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(address: str) -> bool:
    """Whether a server is there."""
    try:
        return bool(urllib.request.urlopen(address).status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def mlflow_alone() -> None:
    """MLflow as people use it without this project: its own commands and functions."""
    if "%" in sysconfig.get_path("purelib"):
        pytest.skip("MLflow's own commands fail in an environment whose path has a per cent sign")


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, StudyFolder]]:
    """A whole tiny study, and copies of it as it was before each stage; made once for all of xdist's workers."""
    root = tmp_path_factory.getbasetemp()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "studies"
    root.mkdir(exist_ok=True)
    study = StudyFolder(root / "whole")
    with FileLock(root / "lock"):
        if not (root / "made").exists():
            study.write(tiny_params())
            for stage in STAGES:
                study.copy(root / f"before-{stage}")
                study.succeed(stage)
            (root / "made").touch()
    yield {"whole": study} | {stage: StudyFolder(root / f"before-{stage}") for stage in STAGES}
    study.wait_until_alone()
