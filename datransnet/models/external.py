"""Anyone's network in place: a class in a folder that lies elsewhere, adapted by what is declared of it.

The class is imported from its own folder and called; nothing of it is copied into this project. What runs is somebody
else's code, with the rights of whoever starts it: name folders that you trust.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.errors import ParameterError, did_you_mean
from datransnet.foreign_code import ForeignModules, locate, told
from datransnet.models.about import About
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS

Kind = Literal["logits", "probabilities", "classes"]


@dataclass(frozen=True)
class Input:
    """What a foreign network wants to see.

    Attributes:
        channels: equal ones that the grey image is repeated to.
        multiple: what height and width must be multiples of.
        size: height and width that every image is resized to, for networks that know one size only; 0 is off.
        mean: what is subtracted from an image in [0, 1]: one number, or one for each channel.
        std: what it is divided by, likewise; above 0.

    Raises:
        ParameterError: if a value is none of these.
    """

    channels: int = 1
    multiple: int = 1
    size: int = 0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name, least in (("channels", 1), ("multiple", 1), ("size", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ParameterError(f"model.input.{name} = {value!r} must be a whole number of at least {least}.")
        for name in ("mean", "std"):
            value = getattr(self, name)
            values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
            if len(values) not in (1, self.channels) or not all(_is_number(each) for each in values):
                raise ParameterError(
                    f"model.input.{name} = {value!r} must be one number, or one for each of {self.channels} channels."
                )
            object.__setattr__(self, name, tuple(map(float, values)))
        if min(self.std) <= 0:
            raise ParameterError(f"model.input.std = {self.std} must be above 0.")


@dataclass(frozen=True)
class Output:
    """What a foreign network returns.

    Attributes:
        kind: ``logits``; ``probabilities``, where a sigmoid is inside; or ``classes``, logits of background and target.
        main: which of several outputs is the network's answer: a place in a list, or a key of a dictionary.
        sides: whether training supervises the others, too.

    Raises:
        ParameterError: if a value is none of these.
    """

    kind: Kind = "logits"
    main: int | str = 0
    sides: bool = True

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            hint = did_you_mean(str(self.kind), list(get_args(Kind)))
            raise ParameterError(
                f"model.output.kind = {self.kind!r} must be one of {', '.join(get_args(Kind))}. {hint}"
            )
        if type(self.main) not in (int, str):
            raise ParameterError(f"model.output.main = {self.main!r} must be a place in a list, or a key.")
        if type(self.sides) is not bool:
            raise ParameterError(f"model.output.sides = {self.sides!r} must be true or false.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


@MODELS.register("external")
class External(PaddedNetwork):
    """A foreign network under this project's rules: grey images of any size in [0, 1], one logit a pixel.

    Args:
        source: the folder of its code, from which its own imports begin.
        call: ``module:Class`` in that folder; anything that returns a module when it is called with `arguments`.
        arguments: keyword arguments.
        input: see `Input`.
        output: see `Output`.
        files: digest of the folder's files (`code_digest`), if they must be those; commands that train fill it in.

    Raises:
        ParameterError: if the folder, the module or the class is missing, or a declaration is none; in a forward pass,
            if the network fails or does not return what is declared.
        DataError: if the files are not those of the digest.
    """

    about = About("external", "yours", "models of yours", 0, "yours")
    is_ready = False
    has_idle_parameters = True  # nobody has looked

    def __init__(
        self,
        source: str = "",
        call: str = "",
        arguments: dict[str, Any] | None = None,
        input: dict[str, Any] | None = None,
        output: dict[str, Any] | None = None,
        files: str = "",
    ) -> None:
        super().__init__()
        for name, given in (("source", source), ("call", call)):
            if not given:
                raise ParameterError(f"model.{name} is missing. See docs/how-to/external-network.md.")
        self.input = _declared(Input, "input", input)
        self.output = _declared(Output, "output", output)
        if not isinstance(arguments or {}, dict):
            raise ParameterError(f"model.arguments = {arguments!r} must be names with values.")
        self.multiple = self.input.multiple
        self.modules_there = ForeignModules(locate(source, files))
        factory = self.modules_there.load(call)
        try:
            with self.modules_there.importable():
                network = factory(**(arguments or {}))
        except (Exception, SystemExit) as error:
            raise ParameterError(f"{call} cannot be made with arguments {arguments or {}}: {told(error)}") from error
        if not isinstance(network, nn.Module) or not any(True for _ in network.parameters()):
            raise ParameterError(f"{call} returns a {type(network).__name__}, no torch.nn.Module with parameters.")
        self.network = network

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """Logits of all outputs, at the image's size."""
        shown = image.expand(-1, self.input.channels, -1, -1)
        if self.input.size:
            shown = F.interpolate(shown, size=(self.input.size,) * 2, mode="bilinear", align_corners=False)
        statistics = (torch.tensor(values).view(1, -1, 1, 1) for values in (self.input.mean, self.input.std))
        mean, std = (values.to(shown, non_blocking=True) for values in statistics)
        main, others = self._chosen(self._asked((shown - mean) / std))
        wanted = {"out": main, **(others if sides and self.output.sides else {})}
        return {name: self._logits(name, value, image) for name, value in wanted.items()}

    def _asked(self, shown: Tensor) -> object:
        """What the foreign network returns."""
        traced = torch.compiler.is_compiling() or torch.compiler.is_exporting()
        finding: AbstractContextManager[None] = nullcontext() if traced else self.modules_there.importable()
        try:
            with finding:
                return self.network(shown)
        except torch.OutOfMemoryError:
            raise
        except (Exception, SystemExit) as error:
            raise ParameterError(
                f"The external network fails on a batch of {tuple(shown.shape)}: {told(error)} If it wants other "
                "sizes, declare model.input.multiple or model.input.size."
            ) from error

    def _chosen(self, found: object) -> tuple[object, dict[str, object]]:
        """The answer among what was returned, and the others by name."""
        if isinstance(found, Tensor):
            return found, {}
        if isinstance(found, Mapping):
            by_name: dict[int | str, object] = dict(found)
        elif isinstance(found, (list, tuple)):
            by_name = dict(enumerate(_flat(found)))
        else:
            raise ParameterError(
                f"The external network returns a {type(found).__name__}: neither a tensor nor several."
            )
        key = self.output.main
        if isinstance(key, int) and key < 0:
            key += len(by_name)
        if key not in by_name:
            raise ParameterError(
                f"model.output.main = {self.output.main!r} is none of the external network's outputs "
                f"({', '.join(map(repr, by_name))})."
            )
        return by_name.pop(key), {f"side_{name}": value for name, value in by_name.items()}

    def _logits(self, name: str, value: object, image: Tensor) -> Tensor:
        channels = 2 if self.output.kind == "classes" else 1
        if not isinstance(value, Tensor) or value.ndim != 4 or value.shape[1] != channels:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ParameterError(
                f"The external network's output {name} is {shape}, for an image of {tuple(image.shape)}: as "
                f"{self.output.kind} it must be {len(image)}×{channels}×height×width. See model.output."
            )
        if self.output.kind == "classes":
            value = value[:, 1:] - value[:, :1]
        elif self.output.kind == "probabilities":
            value = value.float().logit(eps=torch.finfo(torch.float32).eps).to(value.dtype)
        if value.shape[-2:] != image.shape[-2:]:
            value = F.interpolate(value, size=image.shape[-2:], mode="bilinear", align_corners=False)
        return value


def _declared(kind: type[Any], where: str, given: object) -> Any:
    """What is declared of input or output."""
    if not isinstance(given or {}, dict):
        raise ParameterError(
            f"model.{where} = {given!r} must be names with values, such as {{{fields(kind)[0].name}: …}}."
        )
    known = [field.name for field in fields(kind)]
    for name in given or {}:  # type: ignore[attr-defined]
        if name not in known:
            raise ParameterError(f"model.{where}.{name}: there is no such key. {did_you_mean(str(name), known)}")
    return kind(**(given or {}))  # type: ignore[arg-type]


def _flat(found: object) -> Iterator[object]:
    """The tensors of nested lists, in order."""
    if isinstance(found, (list, tuple)):
        for each in found:
            yield from _flat(each)
    else:
        yield found
