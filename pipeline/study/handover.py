"""What stages hand to each other in ``results/*.json``: written whole, read back as the dataclass that was written.

Here are the reading and writing, and what the search hands on; `pipeline.runs.trained` holds what the stages that train
hand on, and `pipeline.scoring.evaluation` what stage evaluate does.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from datransnet.atomic import write_text
from datransnet.engine.recipe import Recipe
from datransnet.errors import DataError
from pipeline.study.arguments import Arguments
from pipeline.study.status import Status
from pipeline.study.study import Study

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA = 1
Result = TypeVar("Result")


def write_result(path: Path, result: "DataclassInstance") -> None:
    """Write a stage's result as JSON."""
    write_text(path, json.dumps({"schema": SCHEMA, **asdict(result)}, indent=1) + "\n")


def read_result(path: Path, kind: type[Result], stage: str) -> Result:
    """Read what `write_result` wrote.

    Raises:
        DataError: if it is missing, of another schema, or not of this kind; it names the ``stage`` to run.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise DataError(f"{path} is missing or unreadable. Run the {stage} stage first.") from error
    if content.get("schema") != SCHEMA:
        raise DataError(f"{path} has schema {content.get('schema')}, not {SCHEMA}. Run the {stage} stage again.")
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise DataError(f"{path} is not as the {stage} stage writes it (at {where}). Run that stage again.") from error


@dataclass(frozen=True)
class Best:
    """The winner of the search.

    Attributes:
        key: of its first run.
        val_iou: its best validation IoU, in [0, 1]; the mean over the trial's seeds.
        model: name and keyword arguments of the network.
        recipe: how it was trained in the search; the study trains it for more epochs.
    """

    key: str
    val_iou: float
    model: Arguments
    recipe: Recipe


@dataclass(frozen=True)
class TrialResult:
    """A trial of the search.

    Attributes:
        number: its place in the search, from 0.
        key: of its first run.
        keys: of its runs, one for each seed.
        status: what became of it.
        reason: why it is infeasible or failed, in one line; else empty.
        epochs: that it was trained, all seeds together.
        best_iou: best validation IoU, in [0, 1], mean over seeds; 0 where it is infeasible.
        costs: what its network takes, by the names of the objectives beside ``iou``.
        point: searched parameter → value, as Optuna stores it.
        history: best validation IoU up to each epoch, mean over seeds.
    """

    number: int
    key: str
    keys: list[str]
    status: Status
    reason: str
    epochs: int
    best_iou: float
    costs: dict[str, float]
    point: dict[str, JsonValue]
    history: list[float]

    def dominates(self, other: "TrialResult") -> bool:
        """Whether this trial is nowhere worse than another and somewhere better."""
        first, second = ([trial.best_iou, *(-value for value in trial.costs.values())] for trial in (self, other))
        return first != second and all(a >= b for a, b in zip(first, second, strict=True))


@dataclass(frozen=True)
class Importance:
    """How much a searched parameter matters.

    Attributes:
        share: of what sets the better trials apart, in [0, 1].
        low: lower end of its 95 % interval over trials.
        high: upper end.
    """

    share: float
    low: float
    high: float


FOUND = 0.01
"""IoU on the validation part below which a network has found nothing."""


@dataclass(frozen=True)
class Tuned:
    """What the search of one network found.

    Attributes:
        best: the winner.
        trials: all trials, in their order.
        objectives: what was searched for: ``iou`` first, then costs.
        importances: searched parameter → its share of what sets the better trials apart, the greatest first; empty with
            too few trials.
        pareto: numbers of the trials that no other beats in every objective.
    """

    best: Best
    trials: list[TrialResult]
    objectives: list[str]
    importances: dict[str, Importance]
    pareto: list[int]

    @property
    def blind(self) -> bool:
        """Whether all trials were as good as nothing on the validation part, so that the winner is one of equals.

        A single trial has no equals: nothing was to be chosen.
        """
        return len(self.trials) > 1 and self.best.val_iou < FOUND


@dataclass(frozen=True)
class Searches:
    """``results/tune.json``: what the searches of all networks found.

    Attributes:
        networks: name of a network → its search, the subject's first.
    """

    networks: dict[str, Tuned]

    @property
    def subject(self) -> Tuned:
        """The search of the network that is ablated and shown in detail."""
        return next(iter(self.networks.values()))


def read_searches(study: Study) -> Searches:
    """What the searches found.

    Raises:
        DataError: if the tune stage did not run.
    """
    return read_result(study.results / "tune.json", Searches, "tune")


Winners = Mapping[str, tuple[Arguments, Recipe]]
"""Network and recipe that each search chose, by the network's name, the subject's first."""


def winners(study: Study) -> Winners:
    """What stage tune handed on."""
    bests = {name: tuned.best for name, tuned in read_searches(study).networks.items()}
    return in_full({name: (best.model, best.recipe) for name, best in bests.items()}, study)


def in_full(chosen: Winners, study: Study) -> Winners:
    """What the searches chose, at the study's number of epochs instead of a trial's."""
    return {
        name: (model, Recipe(**{**vars(recipe), "epochs": study.params.by_network[name].recipe.epochs}))
        for name, (model, recipe) in chosen.items()
    }
