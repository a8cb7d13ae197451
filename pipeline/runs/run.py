"""A run: one training, everything it depends on, and the key that follows from it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import NamedTuple

from datransnet.engine.recipe import Recipe
from datransnet.models import network_class
from pipeline.runs.source import TRAINING, source_digest
from pipeline.study.arguments import Arguments
from pipeline.study.digest import digest_of


@dataclass(frozen=True)
class Run:
    """One training, and all it depends on.

    Attributes:
        dataset: name of the dataset.
        split: name of the split.
        data_digest: of the split's manifest.
        protocol: ``holdout`` or ``literature``.
        model: name and keyword arguments of the network.
        recipe: how it is trained.
        seed: of this training.
        source: digest of the code that trains.
        watched: whether the test part is scored at every validation, for ``best_on_test``; it decides nothing.
    """

    dataset: str
    split: str
    data_digest: str
    protocol: str
    model: Arguments
    recipe: Recipe
    seed: int
    source: str
    watched: bool = False

    @cached_property
    def key(self) -> str:
        """The run's name: a hash of everything above."""
        return digest_of(asdict(self) | {"model": identifying(self.model)})


def identifying(model: Arguments) -> Arguments:
    """What of a network's arguments decides its result: of an external one the files, not where they lie."""
    return {key: value for key, value in model.items() if not (key == "source" and model["name"] == "external")}


def training_source(model: str) -> str:
    """Digest of the code that trains a network; another network's code does not change it.

    Raises:
        ParameterError: if there is no such network.
    """
    return source_digest(*TRAINING, network_class(model).__module__)


class Called(NamedTuple):
    """What a stage calls a training: the name of the variant, or of the trial, and of the study's network it is of."""

    name: str
    network: str


def seed_numbers(names: Iterable[str]) -> list[int]:
    """Which of its name's seeds each run is, from 1: what people call it, for the seed itself is a large number.

    >>> seed_numbers(["full", "full", "plain"])
    [1, 2, 1]
    """
    met, numbers = Counter[str](), list[int]()
    for name in names:
        met[name] += 1
        numbers.append(met[name])
    return numbers
