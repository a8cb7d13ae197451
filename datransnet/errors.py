"""Errors a user can act on: each says what happened, where, and what to do; the class decides the exit code."""

from difflib import get_close_matches


class DATransNetError(Exception):
    """Something failed. Base of every error the packages raise on purpose (exit code 1)."""

    exit_code = 1


class ParameterError(DATransNetError):
    """A parameter or argument is wrong: unknown, out of range, or contradicting another (exit code 2)."""

    exit_code = 2


class DataError(DATransNetError):
    """Data is missing, damaged, or not what its digest says (exit code 3)."""

    exit_code = 3


class LostError(DATransNetError):
    """A process that work depends on died without a word; the same again may well succeed (exit code 1)."""


class TrainingError(DATransNetError):
    """A training cannot go on, for instance because its loss is no longer finite (exit code 1)."""


def did_you_mean(name: str, known: list[str]) -> str:
    """A sentence that names the closest known word, or all of them.

    >>> did_you_mean("dtransnet", ["acm", "datransnet"])
    "Did you mean 'datransnet'?"
    """
    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(known)) or 'none'}."
