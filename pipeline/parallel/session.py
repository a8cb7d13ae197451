"""Ray for the time that a stage needs it, or a running cluster (``RAY_ADDRESS`` or ``cluster.address``)."""

import atexit
import gc
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from datransnet.errors import DATransNetError, ParameterError
from datransnet.foreign_code import copy_code
from pipeline.runs.provenance import REVISION, git_revision
from pipeline.runs.source import PACKAGES, ROOT
from pipeline.study.params import Params
from pipeline.study.resources import Resources

POLL_SECONDS = 1.0
CONNECT_SECONDS = 10.0
NODE_SECONDS = 60.0
"""How long a stage waits for a node of a cluster that is large enough."""
SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The end of the longest path that Ray gives a socket: a folder for them must leave room for it."""
SOCKET_BYTES = 107
"""The largest number of bytes that Linux allows in the path of a socket."""
SHORT = ("/tmp", "/var/tmp", "/dev/shm")
"""Folders with short paths, for Ray's sockets where the path of the usual temporary folder is too long or not ASCII."""


@contextmanager
def ray_session(params: Params) -> Iterator[None]:
    """Start Ray on this machine for the duration of the block, or connect to a running cluster.

    The code is sent to a cluster. Data and runs are not: they must lie on storage that all its nodes share.

    Raises:
        ParameterError: if no node has what one training asks for.
        DATransNetError: if the cluster cannot be reached.
    """
    address = params.cluster.running
    if not address:
        os.environ["RAY_AUTH_MODE"] = "disabled"  # nothing listens beyond this machine; Ray would write a token to HOME
    import ray

    interrupt = signal.getsignal(signal.SIGTERM)
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    with ExitStack() as kept:
        try:
            if address:
                _knock(address)
                ray.init(address, runtime_env=_travelling_code(params), **settings)
            else:
                settings |= {"_temp_dir": kept.enter_context(_temporary()), "runtime_env": _quoted_python()}
                with _joined_as_taken_apart():
                    ray.init("local", include_dashboard=False, **settings)
        except OSError as error:
            if not address:
                raise  # a full disk, say
            raise DATransNetError(
                f"Ray at {address} cannot be reached ({str(error).splitlines()[0]}). Start it, or change RAY_ADDRESS "
                "or cluster.address."
            ) from error
        signal.signal(signal.SIGTERM, interrupt)  # Ray's own would end the stage without its last words
        try:
            _await_node(params.resources, NODE_SECONDS if address else 0)
            yield
        finally:
            gc.disable()  # Ray ends the process if another thread collects one of its references while it shuts down
            try:
                ray.shutdown()
            finally:
                gc.enable()


@contextmanager
def _temporary() -> Iterator[str | None]:
    """Where a Ray of this machine has its sockets and logs: None, its own choice, if its sockets' paths can be there.

    They must be ASCII and short, which a batch system's TMPDIR need not be. Then it is a folder that goes with Ray.

    Raises:
        DATransNetError: if there is no such folder.
    """
    usual = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if usual.isascii() and usual.startswith("/") and len(f"{usual}/ray/{SOCKET}") <= SOCKET_BYTES:
        yield None
        return
    place = next((folder for folder in SHORT if os.access(folder, os.W_OK | os.X_OK)), None)
    if place is None:
        raise DATransNetError(
            f"Ray cannot have its sockets in {usual}, whose path is too long or not ASCII, nor in {', '.join(SHORT)}, "
            f"where nothing can be written. Set RAY_TMPDIR to a folder whose path has at most "
            f"{SOCKET_BYTES - len(SOCKET) - len('/ray/')} letters."
        )
    with tempfile.TemporaryDirectory(prefix="ray-", dir=place, ignore_cleanup_errors=True) as folder:
        yield folder


def _quoted_python() -> dict[str, Any] | None:
    """Ray's runtime environment where this Python's path is no word of a shell, as which Ray takes it for a trial's."""
    word = shlex.quote(sys.executable)
    return None if word == sys.executable else {"py_executable": word}


@contextmanager
def _joined_as_taken_apart() -> Iterator[None]:
    """Let Ray join the commands of its workers as a shell does, and as it takes them apart.

    It joins them as Windows does: in an environment with a quote or a backslash in its path no worker would start.
    """
    usual = subprocess.list2cmdline
    subprocess.list2cmdline = shlex.join  # type: ignore[assignment]  # Ray gives it strings only
    try:
        yield
    finally:
        subprocess.list2cmdline = usual


def _knock(address: str) -> None:
    """See that something listens at ``host:port``: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def _await_node(resources: Resources, seconds: float) -> None:
    """See that some node has what a training takes; nodes of a cluster may still be joining."""
    import ray

    end = time.monotonic() + seconds
    while True:
        nodes: list[dict[str, float]] = [node["Resources"] for node in ray.nodes()]  # type: ignore[no-untyped-call]
        there = [(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes]
        if any(cpus >= resources.cores and gpus >= resources.share for cpus, gpus in there):
            return
        if time.monotonic() > end:
            known = "; ".join(sorted({f"{cpus:g} CPUs and {gpus:g} GPUs" for cpus, gpus in there}))
            raise ParameterError(
                f"resources: a training takes {resources.cores:g} CPUs and {resources.share:g} GPUs of one node, but "
                f"there are only nodes with {known}. Ask for less."
            )
        time.sleep(POLL_SECONDS)


def _travelling_code(params: Params) -> dict[str, Any]:
    """Ray's runtime environment with the two packages, and external networks' files; nothing else of the project."""
    folder = Path(tempfile.mkdtemp(prefix="datransnet-code-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for model in (own.model.arguments() for own in params.by_network.values()):
        if model["name"] == "external":
            copy_code(Path(model["source"]), model["files"], folder)
    return {"working_dir": str(folder), "env_vars": {REVISION: git_revision(), "PYTHONUTF8": "1"}}


def cluster_use() -> str:
    """What of the cluster is in use, such as ``2/4 CPUs, 0.5/1 GPUs, 3 nodes``."""
    import ray

    there, free = ray.cluster_resources(), ray.available_resources()  # type: ignore[no-untyped-call]
    used = [
        f"{there[kind] - free.get(kind, 0.0):.3g}/{there[kind]:.3g} {kind}s" for kind in ("CPU", "GPU") if kind in there
    ]
    nodes = sum(name.startswith("node:") and not name.startswith("node:__") for name in there)
    return ", ".join([*used, *([f"{nodes} nodes"] if nodes > 1 else [])])
