"""The sections of ``params.yaml``, typed and bounded."""

import math
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from datransnet.data.catalogue import CATALOGUE, Card, find_card, own_card
from datransnet.data.images import Levels
from datransnet.data.splits import Grouping, known_split
from datransnet.engine.recipe import Recipe
from datransnet.errors import ParameterError, did_you_mean
from datransnet.metrics.conventions import CONVENTIONS
from datransnet.metrics.operating import Budget
from pipeline.study.arguments import Arguments
from pipeline.study.protocol import PROTOCOLS, Protocol, ProtocolName
from pipeline.study.resources import Cluster, Resources
from pipeline.study.search_space import Choice, Interval, Tune, section_and_name
from pipeline.study.section import Strict

WINNER = "full"
"""The variant that is the winner of the subject's search as it is."""
UNTUNED = "untuned"
"""The variant that is the subject as the parameters have it, without what its search has found."""


class Synthetic(Strict):
    """Synthetic scenes: images per part, and their height and width in pixels."""

    train: int = Field(96, ge=2, le=100_000)
    val: int = Field(32, ge=1, le=100_000)
    test: int = Field(48, ge=1, le=100_000)
    size: int = Field(64, ge=32, le=1024)


class Data(Strict):
    """Which dataset and split, and how its known faults are treated.

    ``dataset`` is a published one, by any of its names (`python -m datransnet data` lists them). ``source`` is a folder
    with a person's own dataset, from the project's root or absolute; ``dataset`` then only names it. Pixels of a mask
    are target if their level, from 0 to 255, is above ``mask_above``; with 0, all that are not black are. ``levels``
    says which stored values of an image become black and white: 0 and the highest that the file's depth can hold
    (``full``), the ``minmax`` or ``percentile`` of each image, or two values, as for thermal counts. ``grouping`` says
    which images stay together when parts are drawn at random: ``near_duplicates``, frames that follow each other in the
    ``order`` of their names, or ``none``.
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
        published = find_card(self.dataset)
        if self.source is not None:
            if published:
                raise ValueError(f"{self.dataset} is the name of a published dataset: give your own another name")
            return self  # its splits are known when it is read
        if published is None:
            hint = did_you_mean(self.dataset, list(CATALOGUE))
            raise ValueError(f"there is no dataset {self.dataset!r}. {hint} For a folder of your own set data.source")
        try:
            known_split(self.split, list(published.splits))
        except ParameterError as error:
            raise ValueError(f"{self.dataset}: {error}") from None
        return self

    @property
    def card(self) -> Card:
        """What is known of the dataset."""
        published = find_card(self.dataset) if self.source is None else None
        return published or own_card(self.dataset)


class Model(Strict):
    """A network by name, with the keyword arguments of its factory."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = "datransnet"

    def arguments(self) -> Arguments:
        """Name and keyword arguments."""
        return self.model_dump(mode="json")


Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class Contender(Strict):
    """A further network of the study, with what sets it apart from the one that ``model`` names.

    ``model`` holds a name and arguments; without a name, or with the same, the arguments are changes. ``recipe`` holds
    changes of the recipe, but not of how long is trained and how often is looked. ``space`` takes the place of that of
    `tune`, and ``points`` of its points, which do not belong to another space. What is not given is inherited, without
    the arguments of another network.
    """

    model: dict[str, JsonValue] = Field(default_factory=dict)
    recipe: dict[str, JsonValue] = Field(default_factory=dict)
    space: dict[str, Choice | Interval] | None = None
    points: list[dict[str, JsonValue]] | None = None

    @field_validator("recipe")
    @classmethod
    def _same_budget(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if other := sorted({"epochs", "validate_every", "patience"} & set(value)):
            raise ValueError(f"{other[0]} is the same for all networks, for equal budgets: set it in recipe")
        return value


class Train(Strict):
    """How often the winner of each search is trained, each time from another seed.

    With ``untuned``, each network is trained as often as the parameters have it, without what the search has found: so
    a reader sees what tuning brought to whom.
    """

    seeds: int = Field(ge=1, le=1000)
    untuned: bool = False


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
        if twice := sorted({WINNER, UNTUNED, *self.removals()} & set(self.variants)):
            raise ValueError(
                f"variants: {', '.join(twice)} is the name of a variant that the study itself makes; choose another"
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

    Of ``conventions`` the first one is the report's. ``max_fa`` are budgets that operating points keep on the part that
    selects: false-alarm pixels over pixels, one or several; ``max_alarms`` are more of them, in false-alarm components
    an image. ``methods`` are classical ones by name, which need no training. ``peers`` are folders of other people's
    score maps of the test part, by name, from the project's root or absolute.
    """

    conventions: list[str] = Field(min_length=1)
    max_fa: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[20e-6], min_length=1)
    max_alarms: list[Annotated[float, Field(gt=0)]] = Field(default_factory=list)
    methods: list[str] = Field(default_factory=list)
    peers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], str] = Field(default_factory=dict)

    @field_validator("conventions")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in CONVENTIONS:
                raise ValueError(f"there is no convention {name!r}. {did_you_mean(name, list(CONVENTIONS))}")
        return value

    @field_validator("max_fa", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return value if isinstance(value, list) else [value]

    @model_validator(mode="after")
    def _countable(self) -> "Evaluate":
        if twice := sorted(set(self.methods) & set(self.peers)):
            raise ValueError(f"peers: {twice[0]} is the name of a method of this study; choose another")
        if self.max_alarms and CONVENTIONS[self.conventions[0]].fa == "pixels":
            raise ValueError(f"max_alarms: {self.conventions[0]} counts pixels, not components: set max_fa alone")
        return self

    @property
    def budgets(self) -> list[Budget]:
        """All of them, those by pixel first."""
        return [Budget(limit) for limit in self.max_fa] + [Budget(limit, "image") for limit in self.max_alarms]


class Params(Strict):
    """Everything a study depends on besides code and data.

    ``networks`` are further networks, by name, each searched and trained like the one that ``model`` names, with the
    same numbers of trials, epochs and seeds. ``subject`` says which of all these is ablated and shown in detail: by
    default that of ``model``, whose name here is its ``model.name``.
    """

    study: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    seed: int = Field(ge=0)
    protocol: ProtocolName = "holdout"
    data: Data
    model: Model
    recipe: Recipe
    resources: Resources = Resources()
    cluster: Cluster = Cluster()
    tune: Tune
    train: Train
    ablate: Ablate
    evaluate: Evaluate
    networks: dict[Name, Contender] = Field(default_factory=dict)
    subject: str | None = None

    @model_validator(mode="after")
    def _resources_fit(self) -> "Params":
        if self.resources.processes > 1 and self.tune.seeds > 1:
            raise ValueError("tune.seeds trains networks side by side, which resources.processes cannot: set one to 1")
        if self.tune.gpu_hours is not None and self.resources.gpus == 0:
            raise ValueError("tune.gpu_hours: a training takes no GPU, so these hours never end; set resources.gpus")
        return self

    @model_validator(mode="after")
    def _networks_known(self) -> "Params":
        names = [self.model.name, *self.networks]
        taken = {self.model.name, WINNER, UNTUNED, *self.ablate.changes(), *(f"{name}_{UNTUNED}" for name in names)}
        if twice := sorted(taken & set(self.networks)):
            raise ValueError(f"networks.{twice[0]}: a network or variant has this name; choose another")
        if twice := sorted({*self.evaluate.peers, *self.evaluate.methods} & set(names)):
            raise ValueError(f"evaluate: {twice[0]} is the name of a network; give the peer another")
        if self.subject is not None and self.subject not in names:
            raise ValueError(f"subject: there is no network {self.subject!r}. {did_you_mean(self.subject, names)}")
        problems, earlier = list[str](), [self._plain(self.model.name)]
        for name in self.networks:
            if (plain := self._plain(name)) in earlier:
                problems.append(f"networks.{name}: the same as {names[earlier.index(plain)]}")
            earlier.append(plain)
            try:
                Params.model_validate(plain)
            except ValidationError as error:
                for fault in error.errors():
                    message = fault["msg"].removeprefix("Value error, ")
                    problems.append(f"networks.{name}: {'.'.join(map(str, fault['loc']))}: {message}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @cached_property
    def by_network(self) -> dict[str, "Params"]:
        """The parameters of each network alone, by its name, the subject's first."""
        names = (self.model.name, *self.networks)
        found = {name: Params.model_validate(self._plain(name)) for name in names}
        subject = self.subject or self.model.name
        return {subject: found[subject], **found}

    def _plain(self, name: str) -> dict[str, Any]:
        """The parameters of a network as if it were the only one, plain."""
        contender, base = self.networks.get(name, Contender()), self.model.arguments()
        same = contender.model.get("name", self.model.name) == self.model.name
        same = same and contender.model.get("source", base.get("source")) == base.get("source")
        plain = self.model_dump(mode="json", exclude={"networks", "subject"})
        plain["model"] = (base if same else {}) | contender.model
        plain["recipe"] |= contender.recipe

        def fitting(values: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in values.items() if same or section_and_name(key)[0] != "model"}

        plain["tune"]["space"] = fitting(plain["tune"]["space"])
        plain["tune"]["points"] = [fitting(point) for point in plain["tune"]["points"]]
        if contender.space is not None:
            plain["tune"]["space"] = {key: each.model_dump(mode="json") for key, each in contender.space.items()}
            plain["tune"]["points"] = []
        if contender.points is not None:
            plain["tune"]["points"] = contender.points
        if name != self.model.name:
            plain["tune"]["warm_start"] = None  # that study is of the network that `model` names
        return plain

    @property
    def rules(self) -> Protocol:
        """The protocol that `protocol` names."""
        return PROTOCOLS[self.protocol]

    @cached_property
    def digestible(self) -> dict[str, Any]:
        """All parameters, plain, for records."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        return plain
