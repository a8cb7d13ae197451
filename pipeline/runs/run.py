"""A run: one training, everything it depends on, and the key that follows from it."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import NamedTuple

from pydantic import TypeAdapter

from datransnet.data.manifest import Manifest
from datransnet.engine.recipe import Recipe
from datransnet.models import complete_arguments, network_class
from datransnet.seeding import derive_seed
from pipeline.runs.source import TRAINING, source_digest
from pipeline.study.digest import digest_of
from pipeline.study.params import Arguments, Params
from pipeline.study.study import Study


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


def plan(
    params: Params,
    manifest: Manifest,
    model: Arguments,
    recipe: Recipe,
    replicate: int,
    watched: bool = False,
) -> Run:
    """The run of a network and recipe, number ``replicate`` of its seeds.

    The seed depends on the study's seed and the replicate alone, so that variants are compared seed by seed.
    """
    return Run(
        dataset=manifest.dataset,
        split=manifest.split,
        data_digest=manifest.digest,
        protocol=params.protocol,
        # JSON turns tuples into lists. It does so here already, so that the key is the same before and after reading.
        model={"name": model["name"], **json.loads(json.dumps(complete_arguments(**model)))},
        recipe=TypeAdapter(Recipe).validate_python(vars(recipe)),  # 0 and 0.0 are one recipe, as where it is read
        seed=derive_seed(params.seed, "run", replicate),
        source=training_source(str(model["name"])),
        watched=watched,
    )


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


def seeds_of(study: Study, model: Arguments, recipe: Recipe, number: int, watched: bool = False) -> list[Run]:
    """A network and recipe on the study's first seeds."""
    manifest = study.manifest
    return [plan(study.params, manifest, model, recipe, replicate, watched) for replicate in range(number)]
