"""How every command ends: an exit code that means something, and one short paragraph instead of a traceback."""

import errno
import logging
import os
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
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("Interrupted. What was finished is kept; the same command does the rest.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
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
    if isinstance(error, MemoryError) or error.__class__.__name__ == "OutOfMemoryError":  # the GPU's, named by torch
        first = str(error).split("\n")[0]
        return f"Memory does not suffice ({first}). Try smaller batches or images, or another device."
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}. Choose another place, or mend this one."
    return f"{error.__class__.__name__}: {error}\nThis is not expected: please report it, with what --debug prints."
