"""How the process of a command begins and ends: with the right code, with docstrings, and not without its parent."""

import os
import signal
import sys
import threading
import time
from pathlib import Path


def end_with_parent() -> None:
    """Interrupt this process when the ``dvc`` that started it is gone: a killed dvc leaves its stage running.

    By SIGTERM, which a command takes for Ctrl-C: SIGINT is ignored where a shell started it in the background.
    """
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def run_own_code(project: Path, home: Path, code: Path) -> None:
    """Start again, as the same process, with the code of the copy of the project that a queued experiment runs in.

    A profile's working directory has no code, so Python finds the installed one: the project's, as it is by now.

    Args:
        project: of the study in the working directory.
        home: of that study, which is another folder where ``project`` is such a copy.
        code: where the code lies that runs now.
    """
    first = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if project not in (home, code) and (project / "pipeline").is_dir() and first[0] != str(project):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(project), *first]))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def with_docstrings() -> None:
    """Start again, as the same process, where PYTHONOPTIMIZE=2 left docstrings out: Ray cannot be imported without."""
    if sys.flags.optimize > 1 and os.environ.get("PYTHONOPTIMIZE") != "1":
        os.environ["PYTHONOPTIMIZE"] = "1"
        os.execv(sys.executable, [sys.executable, *(word for word in sys.orig_argv[1:] if word != "-OO")])
