"""The MLflow UI of what the studies of a home did, and the dashboard of a study's searches."""

import os
import socket
import sys
import sysconfig
from pathlib import Path
from tempfile import mkdtemp

from datransnet.errors import DATransNetError, ParameterError
from pipeline.console import say
from pipeline.study.study import Study
from pipeline.tracking.store import artifacts_of, prepare, store_of

USUAL, LAST = 5000, 65535
"""The usual port of MLflow's UI, and the largest number that a port can have."""


def serve_ui(study: Study, port: int) -> None:
    """Become the server, until Ctrl-C.

    Raises:
        DATransNetError: if the port cannot be had.
        ParameterError: if a server has the runs already.
    """
    store = store_of(study)
    artifacts = artifacts_of(study.home, store)
    if artifacts is None:
        raise ParameterError(f"MLFLOW_TRACKING_URI names a server, which shows the runs itself: open {store}.")
    _try(port)
    prepare(store, study.home)
    os.environ.pop("MLFLOW_LOGGING_LEVEL", None)  # a server's own log is wanted
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # ten processes that serve no study
    _name_packages()
    say(f"MLflow UI of {study.home}: http://127.0.0.1:{port} (Ctrl-C ends it)")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [*command, "--backend-store-uri", store, "--default-artifact-root", artifacts])


def serve_searches(study: Study, port: int) -> None:
    """Become Optuna's dashboard, until Ctrl-C.

    Raises:
        DATransNetError: if the port or the search's database cannot be had.
        ParameterError: if there was no search yet.
    """
    from optuna_dashboard import run_server

    from pipeline.search.memory import storage_of

    if study.params.cluster.storage is None and not (study.runs / "search.db").exists():
        raise ParameterError(f"There was no search in {study.runs} yet. `python -m pipeline tune` makes one.")
    _try(port)
    say(f"Searches of {study.runs}: http://127.0.0.1:{port} (Ctrl-C ends it)")
    run_server(storage_of(study), host="127.0.0.1", port=port)


def _try(port: int) -> None:
    """See that the port is free, which the server would say in a traceback, after seconds."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: one that was just left is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            other = port + 1 if port < LAST else USUAL
            raise DATransNetError(
                f"Port {port} of this machine cannot be had ({error.strerror}). Choose another: "
                f"`make ui PORT={other}`, or `python -m pipeline ui --port {other}`."
            ) from error


def _name_packages() -> None:
    """Give the server's processes a name for the packages without a per cent sign, which MLflow takes for more.

    The name is a link in the folder for temporary files, where it stays.
    """
    packages = sysconfig.get_path("purelib")
    if "%" in packages:
        name = Path(mkdtemp(prefix="datransnet-packages-")) / "packages"
        name.symlink_to(packages)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(name), os.environ.get("PYTHONPATH")]))
