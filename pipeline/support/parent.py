"""A stage ends with the ``dvc`` that started it."""

import os
import signal
import threading
import time


def end_with_parent() -> None:
    """Interrupt this process when the ``dvc`` that started it is gone: a killed dvc leaves its stage running."""
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
