"""Addresses of SQLite files, as SQLAlchemy, Optuna and MLflow understand them."""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///(?!file:|:memory:)(?P<path>[^?]+)(?P<options>\?.*)?", re.DOTALL)
"""The address of a file of SQLite's, as SQLAlchemy writes them."""


def sqlite_address(path: Path) -> str:
    """The address of a file of SQLite's, which SQLAlchemy, Optuna and MLflow take for exactly this file.

    In an address, SQLAlchemy takes ``?`` for the beginning of options and ``%20`` for a space, and Optuna replaces
    braces by its version; such characters are therefore escaped. MLflow would create folders whose names contain the
    escapes, but only if the address begins with ``sqlite:///``; an escaped address therefore names the driver too.

    >>> sqlite_address(Path("/a/b.db")), sqlite_address(Path("/50%/b c?.db"))
    ('sqlite:////a/b.db', 'sqlite+pysqlite:////50%25/b%20c%3F.db')
    """
    plain, escaped = path.as_posix(), quote(os.fsencode(path))
    return f"sqlite:///{plain}" if plain == escaped else f"sqlite+pysqlite:///{escaped}"


def sqlite_file(address: str) -> Path | None:
    """The file that an address means; None where it means no file of SQLite's.

    >>> sqlite_file("sqlite:///b%20c.db"), sqlite_file("postgresql://host/b")
    (PosixPath('b c.db'), None)
    """
    found = SQLITE.fullmatch(address)
    return Path(unquote(found["path"])) if found else None
