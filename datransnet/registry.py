"""A name → factory table filled beside the definitions, so that a new model or loss is one file and one import line."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from datransnet.errors import ParameterError, did_you_mean

F = TypeVar("F", bound=Callable[..., object])


class Registry(Generic[F]):
    """Named factories of one kind.

    >>> greetings = Registry("greeting")
    >>> @greetings.register("hello")
    ... def hello(): return "hello"
    >>> greetings["hello"]()
    'hello'
    >>> greetings["helo"]
    Traceback (most recent call last):
    ...
    datransnet.errors.ParameterError: There is no greeting 'helo'. Did you mean 'hello'?
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, F] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Add a factory under a name (decorator)."""
        if name in self._entries:
            raise ValueError(f"the {self.kind} {name!r} is registered twice")

        def add(entry: F) -> F:
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> F:
        if name not in self._entries:
            raise ParameterError(f"There is no {self.kind} {name!r}. {did_you_mean(name, list(self._entries))}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
