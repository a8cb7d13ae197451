"""Trained weights with their card: which network they belong to, and how it is shown images."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from datransnet.atomic import atomic_path, write_text
from datransnet.data.images import Levels, parse_levels
from datransnet.engine.memory_format import to_channels_last
from datransnet.engine.recipe import Recipe
from datransnet.errors import DataError, ParameterError
from datransnet.models import DATransNet, Network, create_model
from datransnet.models.normalised import Normalised
from datransnet.models.official import load_official

WEIGHTS, CARD = "weights.safetensors", "card.json"


def create_trainable(arguments: Mapping[str, object], recipe: Recipe) -> Network:
    """A fresh network as a recipe trains it: it may see its images normalised, its weights lie as the recipe says.

    Args:
        arguments: name and keyword arguments of the network, as `create_model` takes them.
        recipe: how it is trained.

    Raises:
        ParameterError: as `create_model` does.
    """
    network = create_model(**arguments)  # type: ignore[arg-type]
    if recipe.channels_last:
        to_channels_last(network)
    return Normalised(network) if recipe.normalise == "dataset" else network


def save_state(model: Network, path: Path) -> None:
    """Write a network's weights, whole or not at all; those that several layers share, several times."""
    with atomic_path(path) as partial:
        save_file({name: value.cpu().contiguous().clone() for name, value in model.state_dict().items()}, partial)


def save_weights(folder: Path, model: Network, arguments: dict[str, object], recipe: Recipe, **card: object) -> None:
    """Write ``folder/weights.safetensors`` and ``folder/card.json``; for the arguments see `write_card`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_state(model, folder / WEIGHTS)
    write_card(folder, arguments, recipe, **card)


def write_card(folder: Path, arguments: dict[str, object], recipe: Recipe, **card: object) -> None:
    """Write ``folder/card.json``, which says what network the weights that lie there belong to.

    Args:
        folder: where to.
        arguments: name and keyword arguments of the network, as `create_model` takes them.
        recipe: how it was trained.
        card: whatever else there is to say, as JSON.
    """
    content = {"schema": 1, "model": arguments, "recipe": asdict(recipe), **card}
    if recipe.normalise == "dataset":  # for the reader: what counts is beside the weights
        with safe_open(folder / WEIGHTS, "pt") as weights:
            content["normalisation"] = {name: weights.get_tensor(name).item() for name in ("mean", "std")}
    write_text(folder / CARD, json.dumps(content, indent=1) + "\n")


def learnt_images(path: Path) -> frozenset[str]:
    """Digests of the images that weights were trained and selected on, as far as their card says."""
    return frozenset(read_card(path).get("learnt", ()))


def learnt_levels(path: Path) -> Levels:
    """Which stored values became black and white in the images that weights have learnt from: ``full`` if unsaid.

    Raises:
        DataError: if the card says something else.
    """
    levels = read_card(path).get("levels", "full")
    try:
        return parse_levels(levels if isinstance(levels, str) else ",".join(map(str, levels)))
    except (ParameterError, TypeError) as error:
        raise DataError(f"The card beside {path} has levels {levels!r}, which are none.") from error


def read_card(path: Path) -> dict[str, Any]:
    """The card beside some weights; empty where there is none."""
    try:
        found: dict[str, Any] = json.loads(
            (path if path.is_dir() else path.parent).joinpath(CARD).read_text(encoding="utf-8")
        )
        return found
    except (FileNotFoundError, ValueError):
        return {}


@dataclass(frozen=True)
class Foreign:
    """What a published checkpoint, which has no card, does not say of itself.

    Attributes:
        model: the network's name.
        image_size: the size it was trained at; DATransNet sees images at that size, other networks at their own.
        mean: what was subtracted from images, on the scale of 0 … 255.
        std: what they were divided by, on that scale; without it they were in [0, 1].
    """

    model: str = "datransnet"
    image_size: int = 256
    mean: float = 0.0
    std: float = 255.0

    def load(self, source: Path | Mapping[str, Any]) -> tuple[Network, Recipe]:
        """The network in evaluation mode, and a recipe that says how it sees images.

        Raises:
            DataError: as `load_official` does.
        """
        network = load_official(source, self.image_size, self.model)
        view: Literal["resize", "crop"] = "resize" if isinstance(network, DATransNet) else "crop"
        if (self.mean, self.std) == (0.0, 255.0):
            return network, Recipe(view=view, size=self.image_size)
        normalised = Normalised(network).to(next(network.parameters()).dtype)
        normalised.mean.fill_(self.mean / 255)
        normalised.std.fill_(self.std / 255)
        return normalised.eval(), Recipe(view=view, size=self.image_size, normalise="dataset")


def load_weights(path: Path, foreign: Foreign = Foreign()) -> tuple[Network, Recipe]:
    """A network with its weights, in evaluation mode, and its recipe.

    Args:
        path: a folder that `save_weights` or a study wrote (``models/best``), the weights in it, or a published
            ``.pth.tar`` of any network.
        foreign: what there is to know of a published checkpoint; ours say so themselves.

    Raises:
        DataError: if there is nothing, or the weights do not fit their card.
    """
    if path.is_dir():
        path = path / WEIGHTS
    if not path.is_file():
        raise DataError(f"There are no weights at {path}.")
    if path.suffix == ".safetensors" and not path.with_name(CARD).exists():
        try:
            return foreign.load(load_file(path))
        except (DataError, SafetensorError) as error:
            raise DataError(
                f"{path} has no card {path.with_name(CARD)} beside it to say which network it belongs to ({error})"
            ) from error
    if path.suffix != ".safetensors":
        return foreign.load(path)
    beside = path.with_name(CARD)
    try:
        card: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        recipe = Recipe(**card["recipe"])
        model = create_trainable(card["model"], recipe)
        model.load_state_dict(load_file(path))
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError, ParameterError) as error:
        raise DataError(f"{path} and its card do not fit this version: {error}") from error
    return model.eval(), recipe
