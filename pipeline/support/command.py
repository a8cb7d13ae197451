"""How every command ends: an exit code that means something, and one short paragraph instead of a traceback."""

import errno
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable

from datransnet.errors import DATransNetError


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


def run_command(command: Callable[[], None], debug: bool) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 parameters, 3 data, 130 interrupted."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's polite end is an interruption
    end_with_parent()
    try:
        command()
    except KeyboardInterrupt:
        print("Interrupted. Finished work is kept; the same command goes on from here.", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        else:
            print(f"Error: {_paragraph(error)}", file=sys.stderr)
        return error.exit_code if isinstance(error, DATransNetError) else 1
    return 0


def _paragraph(error: Exception) -> str:
    if isinstance(error, DATransNetError):
        return str(error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "disk is full" in str(error):  # SQLite's words
        place = getattr(error, "filename", None) or "a file"
        return (
            f"No space is left on the disk for {place}. Free some and run the command again; nothing is half-written."
        )
    return f"{error.__class__.__name__}: {error}\nThis is not expected: please report it, with what --debug prints."
