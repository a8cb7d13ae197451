"""How every command ends: an exit code that means something, and one short paragraph instead of a traceback."""

import errno
import logging
import signal
import sys
import traceback
from collections.abc import Callable

from datransnet.errors import DATransNetError


def run_command(command: Callable[[], None], debug: bool) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 parameters, 3 data, 130 interrupted."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's polite end is an interruption
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
