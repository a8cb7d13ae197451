"""Networks by name."""

from collections.abc import Callable, Mapping
from inspect import signature
from re import Match
from typing import ClassVar, get_type_hints

from torch import Tensor, nn

from datransnet.errors import ParameterError
from datransnet.models.about import About
from datransnet.registry import Registry

Renames = tuple[tuple[str, str | Callable[[Match[str]], str]], ...]
"""(pattern, replacement) pairs, applied in order."""


class Network(nn.Module):
    """What every registered network is: images B×1×H×W → logits B×1×H×W, for any H and W.

    Attributes:
        about: where it comes from.
        dead: regular expressions for keys of published checkpoints that no forward pass of theirs uses.
        renames: what turns a published key into ours.
        has_idle_parameters: whether some parameters may have no part in any output.
        is_ready: whether it is a network before it is told which.
        channels_last: whether it predicts on a CPU with the channels of its weights last, since it is faster so. Not
            all code can: PyTorch then refuses to take maps apart by ``view``.
    """

    about: ClassVar[About] = About("", "of your own", "", 0, "")
    dead: ClassVar[tuple[str, ...]] = ()
    renames: ClassVar[Renames] = ()
    has_idle_parameters: bool = False
    is_ready: ClassVar[bool] = True
    channels_last: bool = False

    def forward(self, image: Tensor) -> Tensor:
        """B×1×H×W → B×1×H×W."""
        raise NotImplementedError

    def outputs(self, image: Tensor) -> dict[str, Tensor]:
        """All that training supervises: logits by name, ``out`` (what `forward` returns) first.

        A side output of a coarser level is B×1×⌈H/s⌉×⌈W/s⌉.
        """
        return {"out": self(image)}

    @classmethod
    def adapt(cls, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Published weights by our keys → the same function of a grey image; most networks need no change."""
        return weights


MODELS: Registry[type[Network]] = Registry("model")


ALSO_CALLED = {"mshnet_1ch": "mshnet"}
"""Second name of a network → the name that runs and tables use."""


def canonical_name(name: str) -> str:
    """The name under which a network is registered.

    >>> canonical_name("mshnet_1ch")
    'mshnet'
    """
    return ALSO_CALLED.get(name, name)


def network_class(name: str) -> type[Network]:
    """The class of a network, by any of its names.

    Raises:
        ParameterError: if there is none.
    """
    return MODELS[canonical_name(name)]


def list_models() -> list[str]:
    """Names of the networks that can be made as they are, sorted; ``external`` is one more.

    >>> "datransnet" in list_models()
    True
    """
    return [name for name in MODELS if MODELS[name].is_ready]


def complete_arguments(name: str, **kwargs: object) -> dict[str, object]:
    """A network's keyword arguments with its defaults filled in, so that equal networks are described equally.

    Raises:
        ParameterError: if the name or an argument is unknown, or an argument of another kind than it must be.

    >>> complete_arguments("datransnet", width=8)["gradient"]
    'difference'
    >>> complete_arguments("datransnet", datrans="no")
    Traceback (most recent call last):
    ...
    datransnet.errors.ParameterError: Model 'datransnet': datrans = 'no' must be of type bool.
    """
    factory = network_class(name)
    try:
        bound = signature(factory).bind(**kwargs)
    except TypeError as error:
        raise ParameterError(f"Model {name!r}: {error}.") from error
    hints = get_type_hints(factory.__init__)
    for key, value in kwargs.items():
        kind = hints.get(key)
        if kind in (bool, int, str) and type(value) is not kind:
            raise ParameterError(f"Model {name!r}: {key} = {value!r} must be of type {kind.__name__}.")
    bound.apply_defaults()
    return dict(bound.arguments)


def create_model(name: str, **kwargs: object) -> Network:
    """Build a network by name; keyword arguments are those of its factory.

    Raises:
        ParameterError: if the name or an argument is unknown, or a value is out of range.

    >>> model = create_model("datransnet", image_size=64, width=4)
    >>> model(torch.zeros(1, 1, 33, 65)).shape
    torch.Size([1, 1, 33, 65])
    """
    return network_class(name)(**complete_arguments(name, **kwargs))
