"""``params.yaml``, typed and bounded, read once; all mistakes are told at once."""

import json
import math
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from datransnet.data.catalogue import CATALOGUE, Card, own_card
from datransnet.data.images import Levels
from datransnet.data.splits import Grouping, known_split
from datransnet.engine.recipe import Recipe
from datransnet.errors import ParameterError
from datransnet.metrics.conventions import CONVENTIONS
from datransnet.registry import did_you_mean
from pipeline.support.search_params import Strict, Tune

Protocol = Literal["holdout", "literature"]


class Synthetic(Strict):
    """Synthetic scenes: images per part, and their height and width in pixels."""

    train: int = Field(96, ge=2, le=100_000)
    val: int = Field(32, ge=1, le=100_000)
    test: int = Field(48, ge=1, le=100_000)
    size: int = Field(64, ge=32, le=1024)


class Data(Strict):
    """Which dataset and split, and how its known faults are treated.

    ``source`` is a folder with a person's own dataset, from the project's root or absolute; ``dataset`` then only names
    it. Of 255, levels of a mask above ``mask_above`` are target; 0 takes everything that is not black. ``levels`` says
    which stored values of an image become black and white: ``full`` (what the file's depth can hold), ``minmax`` or
    ``percentile`` of each image, or two values, as for thermal counts. ``grouping`` says what stays on one side of a
    part that is drawn: ``near_duplicates``, frames in the ``order`` of their names, or ``none``.
    """

    dataset: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    source: str | None = None
    split: str
    mismatch: Literal["exclude", "resize_mask"] = "exclude"
    mask_above: int = Field(127, ge=0, le=254)
    levels: Levels = "full"
    grouping: Grouping = "near_duplicates"
    validation_share: float = Field(0.2, gt=0, lt=1)
    test_share: float = Field(0.2, gt=0, lt=1)
    synthetic: Synthetic = Synthetic()

    @field_validator("dataset")
    @classmethod
    def _a_folder_of_its_own(cls, value: str) -> str:
        if value.lower() == "raw":
            raise ValueError("data/raw holds the datasets as fetched: give yours another name")
        return value

    @field_validator("levels")
    @classmethod
    def _ordered(cls, value: Levels) -> Levels:
        if isinstance(value, tuple) and not (math.isfinite(value[1] - value[0]) and value[0] < value[1]):
            raise ValueError("of two values the first, black, must be below the second, white")
        return value

    @field_validator("split", mode="before")
    @classmethod
    def _quoted(cls, value: object) -> object:
        if isinstance(value, int):
            raise ValueError('write it in quotes: YAML reads 50_50 as the number 5050, "50_50" as the name')
        return value

    @model_validator(mode="after")
    def _known(self) -> "Data":
        if self.source is not None:
            if self.dataset in CATALOGUE:
                raise ValueError(f"{self.dataset} is the name of a published dataset: give your own another name")
            return self  # its splits are known when it is read
        if self.dataset not in CATALOGUE:
            raise ValueError(
                f"there is no dataset {self.dataset!r}. {did_you_mean(self.dataset, list(CATALOGUE))} "
                "For a folder of your own set data.source"
            )
        try:
            known_split(self.split, list(CATALOGUE[self.dataset].splits))
        except ParameterError as error:
            raise ValueError(f"{self.dataset}: {error}") from None
        return self

    @property
    def card(self) -> Card:
        """What is known of the dataset."""
        return own_card(self.dataset) if self.source is not None else CATALOGUE[self.dataset]


class Model(Strict):
    """A network by name, with the keyword arguments of its factory."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = "datransnet"

    def arguments(self) -> dict[str, Any]:
        """Name and keyword arguments, plain."""
        return self.model_dump(mode="json")


class Train(Strict):
    """How often the winner is trained, each time from another seed."""

    seeds: int = Field(ge=1, le=1000)


Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class Ablate(Strict):
    """Variants of the winner, each on ``seeds`` seeds.

    ``components`` are parts of the network with the arguments that take each out: each is taken out alone, all are
    taken out, and each is put back alone. ``variants`` are further changes, by name.
    """

    seeds: int = Field(ge=1, le=1000)
    components: dict[Name, dict[str, JsonValue]] = Field(default_factory=dict)
    variants: dict[Name, dict[str, JsonValue]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _named_once(self) -> "Ablate":
        if twice := sorted({"full", *self.removals()} & set(self.variants)):
            raise ValueError(
                f"variants: {', '.join(twice)} is the name of a variant that components make; choose another"
            )
        return self

    def removals(self) -> dict[str, list[str]]:
        """Which components each variant lacks that `components` makes.

        >>> list(Ablate(seeds=1, components={"a": {"a": False}, "b": {"b": False}}).removals())
        ['without_a', 'without_b', 'without_a_b']
        """
        names = list(self.components)
        sets = [[name] for name in names] + [names] + [[other for other in names if other != name] for name in names]
        return {"without_" + "_".join(removed): removed for removed in sets if removed}

    def changes(self) -> dict[str, dict[str, JsonValue]]:
        """Arguments of the network that each variant changes."""
        made = {
            name: {key: value for component in removed for key, value in self.components[component].items()}
            for name, removed in self.removals().items()
        }
        return made | self.variants


class Evaluate(Strict):
    """How stored scores are scored.

    Of ``conventions`` the first one is the report's. ``max_fa`` is the false-alarm rate, pixels over pixels, that the
    operating point keeps on the part that selects. ``peers`` are folders of other people's score maps of the test part,
    by name, from the project's root or absolute.
    """

    conventions: list[str] = Field(min_length=1)
    max_fa: float = Field(20e-6, gt=0, lt=1)
    peers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], str] = Field(default_factory=dict)

    @field_validator("conventions")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in CONVENTIONS:
                raise ValueError(f"there is no convention {name!r}. {did_you_mean(name, list(CONVENTIONS))}")
        return value


class Resources(Strict):
    """What one training occupies.

    ``gpus`` may be a fraction: 0.5 puts two on one GPU. If it is null, as many share a GPU as its memory holds, which
    every stage that trains measures first on its own machine; without a GPU there, training is on the CPU. A training
    may consist of several ``processes`` on one machine, each with ``cpus`` threads and a GPU of its own: then ``gpus``
    is their number, or 0.
    """

    processes: int = Field(1, ge=1, le=64)
    cpus: int = Field(1, ge=1)
    gpus: float | None = Field(0, ge=0)

    @model_validator(mode="after")
    def _a_gpu_each(self) -> "Resources":
        if self.processes == 1 and self.share > 1:
            raise ValueError(f"gpus = {self.gpus:g} is for as many processes: set processes: {math.ceil(self.share)}")
        if self.processes > 1 and self.gpus not in (0, self.processes):
            raise ValueError(f"{self.processes} processes have a GPU each: set gpus: {self.processes}, or 0")
        return self

    @property
    def cores(self) -> int:
        """Of all processes."""
        return self.processes * self.cpus

    @property
    def share(self) -> float:
        """Of a GPU, once it is known."""
        return self.gpus or 0.0

    @property
    def device(self) -> str:
        """Where torch works in a training."""
        return "cuda" if self.share else "cpu"

    @property
    def device_here(self) -> str:
        """Where torch works in this process, which need not have the GPUs that trainings of a cluster have."""
        if not self.share:
            return "cpu"
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"


class Cluster(Strict):
    """Where a sweep runs and what it remembers, if not on this machine; results do not depend on it.

    ``address`` is that of a running Ray (``RAY_ADDRESS`` has precedence). ``storage`` is the database of the search's
    study as SQLAlchemy names it, such as ``postgresql+psycopg2://user@host/optuna``; its password comes from PGPASSWORD
    or a pass file, never from here. A relative file, ``sqlite:///x.db``, is one of the folder with ``.dvc``.
    """

    address: str | None = None
    storage: str | None = None

    @property
    def running(self) -> str | None:
        """Address of a running Ray; None where a stage starts one of its own."""
        return os.environ.get("RAY_ADDRESS") or self.address

    @field_validator("storage")
    @classmethod
    def _without_password(cls, value: str | None) -> str | None:
        if value is not None and ":" in value.partition("://")[2].rpartition("@")[0]:
            raise ValueError("leave the password out: set PGPASSWORD, or write a pass file")
        return value


class Params(Strict):
    """Everything a study depends on besides code and data."""

    study: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    seed: int = Field(ge=0)
    protocol: Protocol = "holdout"
    data: Data
    model: Model
    recipe: Recipe
    resources: Resources = Resources()
    cluster: Cluster = Cluster()
    tune: Tune
    train: Train
    ablate: Ablate
    evaluate: Evaluate

    @model_validator(mode="after")
    def _resources_fit(self) -> "Params":
        if self.resources.processes > 1 and self.tune.seeds > 1:
            raise ValueError("tune.seeds trains networks side by side, which resources.processes cannot: set one to 1")
        if self.tune.gpu_hours is not None and self.resources.gpus == 0:
            raise ValueError("tune.gpu_hours: a training takes no GPU, so these hours never end; set resources.gpus")
        return self

    @cached_property
    def digestible(self) -> dict[str, Any]:
        """All parameters, plain, for records."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        return plain


def _sentence(error: Any, content: Any) -> str:
    """One validation error as ``path: what is wrong``."""
    path, message = [str(part) for part in error["loc"]], str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        message = f"unknown key. {did_you_mean(path[-1], _siblings(path[:-1]))}"
    elif error["type"] != "missing" and not isinstance(error.get("input"), dict):
        message += f" (it is {json.dumps(error.get('input'), default=str)})"
    return f"  {'.'.join(path)}: {message}"


def _siblings(path: list[str]) -> list[str]:
    """Keys that may stand at a path of the parameters."""
    model: Any = Params
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        candidates = [field.annotation, *get_args(field.annotation)]
        model = next((c for c in candidates if hasattr(c, "model_fields") or c is Recipe), None)
    return list(getattr(model, "model_fields", None) or getattr(model, "__dataclass_fields__", {}))


def parse_params(content: object, where: str) -> Params:
    """Parameters from parsed YAML.

    Raises:
        ParameterError: naming every wrong key and value at once.
    """
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        lines = dict.fromkeys(_sentence(item, content) for item in error.errors())
        raise ParameterError(f"{where} has {len(lines)} mistake(s):\n" + "\n".join(lines)) from None
    return params


def read_params(path: Path) -> Params:
    """Read ``params.yaml``.

    Raises:
        ParameterError: if it is missing, no YAML, or holds mistakes.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise ParameterError(f"There is no {path}. Run from a study's folder, such as the project's root.") from None
    return parse_params(content, str(path))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, read as DVC reads it: a key that stands twice is a mistake.

    Raises:
        ParameterError: if it is no YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        told = getattr(error, "problem", None) or str(error).split("\n")[0]
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ParameterError(f"{path} is not YAML{line}: {told}.") from None
