"""What is odd about a dataset's files without being wrong: counted, and said in one line."""

from collections.abc import Sequence
from dataclasses import dataclass, field

NAMED = 3
"""Examples of each oddity."""


def named(names: Sequence[str], most: int = NAMED) -> str:
    """A few names for a sentence.

    >>> named(["a", "b", "c", "d"]), named(["a", "b"])
    ('a, b, c, …', 'a, b')
    """
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


@dataclass
class Oddities:
    """Names of the files that have each oddity, by what it is."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, *names: str) -> None:
        """Note that some files have an oddity."""
        if names:
            self.found.setdefault(what, []).extend(names)

    def counts(self) -> dict[str, int]:
        """How many files have each."""
        return {what: len(names) for what, names in self.found.items()}

    def line(self) -> str:
        """All of them in one line, ``""`` where there is none.

        >>> odd = Oddities()
        >>> odd.note("masks hold grey levels", "a", "b")
        >>> odd.line()
        '2 masks hold grey levels (a, b)'
        """
        return "; ".join(f"{len(names)} {what} ({named(names)})" for what, names in self.found.items())
