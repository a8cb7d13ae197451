"""How every command begins and ends: it can name any file and print anything, its exit code means something, and an
error is one short paragraph instead of a traceback.
"""

import codecs
import errno
import io
import locale
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from datransnet.errors import DATransNetError


def in_any_locale() -> None:
    """Make this process read file names as UTF-8, and print without ever failing. Call it before parsing arguments.

    If the locale has another encoding, Python would read file names differently than on other machines. The digests of
    data would then differ, and with them the keys of runs. So Python starts again in its UTF-8 mode, within the same
    process, unless the environment has PYTHONUTF8=0. Output keeps the encoding of the locale, because terminals expect
    it; letters that it lacks, and bytes of a name that are not valid UTF-8, are printed as escapes.
    """
    reads_utf_8 = sys.getfilesystemencoding() == "utf-8" or "utf8" in sys._xoptions
    if not reads_utf_8 and os.environ.get("PYTHONUTF8") != "0":
        os.environ["PYTHONUTF8"] = "1"  # for processes that this one starts
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=_terminals(), errors="backslashreplace")


def _terminals() -> str | None:
    """The encoding of a terminal by the locale; None, Python's choice, where that says nothing or the user chose."""
    try:
        known = codecs.lookup(locale.getencoding()).name
    except LookupError:  # the locale's name for something that Python does not have
        return None
    return None if known == "ascii" or "PYTHONIOENCODING" in os.environ else known


@contextmanager
def as_command(debug: bool) -> Iterator[None]:
    """Run the block as a command is run: an error is printed as one paragraph, and ends the process by its exit code.

    The codes are 1 failed, 2 parameters, 3 data, 130 interrupted. ``debug`` prints the traceback instead.

    Raises:
        SystemExit: with the code, where the block fails.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's polite end is an interruption
    try:
        yield
        sys.stdout.flush()
        return
    except KeyboardInterrupt:
        print("Interrupted. What was finished is kept; the same command does the rest.", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        else:
            print(f"Error: {_paragraph(error)}", file=sys.stderr)
        code = error.exit_code if isinstance(error, DATransNetError) else 1
    raise SystemExit(code)


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
        named = re.sub(r"\.([^/]+)\.\d+-[0-9a-f]{8}\.partial", r"\1", str(error.filename))  # what was to be written
        return f"{named}: {error.strerror}. Choose another place, or mend this one."
    return f"{error.__class__.__name__}: {error}\nThis is not expected: please report it, with what --debug prints."
