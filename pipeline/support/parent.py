"""A stage ends with the ``dvc`` that started it, and runs the code that this one has looked at."""

import os
import signal
import sys
import threading
import time

from pipeline.support.paths import Study
from pipeline.support.source import ROOT


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


def run_own_code(study: Study) -> None:
    """Start again, as the same process, with the code of the copy of the project that a queued experiment runs in.

    A profile's working directory has no code, so Python finds the installed one: the project's, as it is by now.
    """
    copy, first = study.project, os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if copy not in (study.home, ROOT) and (copy / "pipeline").is_dir() and first[0] != str(copy):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(copy), *first]))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
