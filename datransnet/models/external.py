"""Anyone's network in place: a class in a folder that lies elsewhere, adapted by what is declared of it.

The class is imported from its own folder and called; nothing of it is copied into this project. What runs is somebody
else's code, with the rights of whoever starts it: name folders that you trust.
"""

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.errors import DataError, ParameterError, did_you_mean
from datransnet.foreign_code import COPIES, python_digest, python_files
from datransnet.models.about import About
from datransnet.models.padded import PaddedNetwork

Kind = Literal["logits", "probabilities", "classes"]


@dataclass(frozen=True)
class Input:
    """What a foreign network wants to see.

    Attributes:
        channels: equal ones that the grey image is repeated to.
        multiple: what height and width must be multiples of.
        size: height and width that every image is resized to, for networks that know one size only; 0: none.
        mean: what is subtracted from an image in [0, 1]: one number, or one for each channel.
        std: what it is divided by, likewise.
    """

    channels: int = 1
    multiple: int = 1
    size: int = 0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Output:
    """What a foreign network returns.

    Attributes:
        kind: ``logits``; ``probabilities``, where a sigmoid is inside; or ``classes``, logits of background and target.
        main: which of several outputs is the network's answer: a place in a list, or a key of a dictionary.
        sides: whether training supervises the others, too.
    """

    kind: Kind = "logits"
    main: int | str = 0
    sides: bool = True


class External(PaddedNetwork):
    """A foreign network under this project's rules: grey images of any size in [0, 1], one logit a pixel.

    Args:
        source: the folder of its code, from which its own imports begin.
        call: ``module:Class`` in that folder; anything that returns a module when it is called with `arguments`.
        arguments: keyword arguments.
        input: see `Input`.
        output: see `Output`.
        files: digest of the folder's Python files (`python_digest`), if they must be those; a study fills it in.

    Raises:
        ParameterError: if the folder, the module or the class is missing, or a declaration is none.
        DataError: if the files are not those of the digest.
    """

    about = About("external", "yours", "models of yours", 0, "yours")
    has_idle_parameters = True  # nobody has looked

    def __init__(
        self,
        source: str,
        call: str,
        arguments: dict[str, Any] | None = None,
        input: dict[str, Any] | None = None,
        output: dict[str, Any] | None = None,
        files: str = "",
    ) -> None:
        super().__init__()
        self.input = _declared(Input, "input", input or {})
        self.output = _declared(Output, "output", output or {})
        self.multiple = self.input.multiple
        folder = _located(source, files)
        factory = _imported(folder, call)
        try:
            network = factory(**(arguments or {}))
        except Exception as error:
            raise ParameterError(
                f"{call} of {folder} cannot be made with arguments {arguments or {}}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(network, nn.Module):
            raise ParameterError(f"{call} of {folder} returns a {type(network).__name__}, no torch.nn.Module.")
        self.network = network

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """Logits of all outputs, at the image's size."""
        shown = image.expand(-1, self.input.channels, -1, -1)
        if self.input.size:
            shown = F.interpolate(shown, size=(self.input.size,) * 2, mode="bilinear", align_corners=False)
        mean, std = (shown.new_tensor(values).view(1, -1, 1, 1) for values in (self.input.mean, self.input.std))
        found = self.network((shown - mean) / std)
        main, others = self._chosen(found)
        wanted = {"out": main, **(others if sides and self.output.sides else {})}
        return {name: self._logits(name, value, image) for name, value in wanted.items()}

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
        key = key % len(by_name) if isinstance(key, int) and key < 0 else key
        if key not in by_name:
            raise ParameterError(
                f"model.output.main = {self.output.main!r} is none of the external network's outputs "
                f"({', '.join(map(repr, by_name))})."
            )
        return by_name.pop(key), {f"side_{name}": value for name, value in by_name.items()}

    def _logits(self, name: str, value: object, image: Tensor) -> Tensor:
        channels = 2 if self.output.kind == "classes" else 1
        if not isinstance(value, Tensor) or value.ndim != 4 or value.shape[:2] != (len(image), channels):
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


def _located(source: str, files: str) -> Path:
    """The folder, or the copy of it that was sent to this machine."""
    copy = Path(__file__).resolve().parents[2] / COPIES / files
    folder = copy if files and copy.is_dir() else Path(source).expanduser().resolve()
    if files and (now := python_digest(folder)) != files:
        raise DataError(
            f"The Python files of {folder} have changed since this was planned (digest {now}, not {files}). Run the "
            "same command again to train what is there now."
        )
    python_files(folder)
    return folder


def _declared(kind: type[Any], where: str, given: dict[str, Any]) -> Any:
    """What is declared of input or output."""
    known = [field.name for field in fields(kind)]
    for name in given:
        if name not in known:
            raise ParameterError(f"model.{where}.{name}: there is no such key. {did_you_mean(name, known)}")
    values = {
        name: tuple(map(float, value if isinstance(value, (list, tuple)) else [value]))
        if name in ("mean", "std")
        else value
        for name, value in given.items()
    }
    found = kind(**values)
    if isinstance(found, Input):
        numbers = {"channels": 1, "multiple": 1, "size": 0}
        for name, least in numbers.items():
            value = getattr(found, name)
            if type(value) is not int or value < least:
                raise ParameterError(f"model.input.{name} = {value!r} must be a whole number of at least {least}.")
        for name in ("mean", "std"):
            if len(getattr(found, name)) not in (1, found.channels):
                raise ParameterError(
                    f"model.input.{name} must be one number, or one for each of {found.channels} channels."
                )
        if 0 in found.std:
            raise ParameterError("model.input.std must not be 0.")
    elif found.kind not in get_args(Kind):
        hint = did_you_mean(str(found.kind), list(get_args(Kind)))
        raise ParameterError(f"model.output.kind = {found.kind!r} must be one of {', '.join(get_args(Kind))}. {hint}")
    return found


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, (list, tuple)) else (float(value),)


def _imported(folder: Path, call: str) -> Any:
    """What ``module:Class`` names in a folder."""
    module, _, attribute = call.partition(":")
    if not module or not attribute:
        raise ParameterError(f"model.call = {call!r} must be module:Class, such as model.net:Net.")
    with _importing_from(folder):
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise ParameterError(
                f"model.call: {module} cannot be imported from {folder} ({error}). If a package is missing, install "
                "it; if it is a module of that folder, name the folder in which its imports begin."
            ) from error
    if not hasattr(found, attribute):
        names = [name for name, value in vars(found).items() if inspect.isclass(value)]
        raise ParameterError(f"model.call: {module} has no {attribute}. {did_you_mean(attribute, names)}")
    return getattr(found, attribute)


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let imports find a folder's modules first, and nobody else find them afterwards.

    Many checkouts have a ``model`` or a ``utils``: such names belong to the folder for the block's duration only.
    """
    names = {path.stem if path.is_file() else path.name for path in folder.iterdir()}
    aside: dict[str, ModuleType] = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in names
    }
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] in names]:
            del sys.modules[name]
        sys.modules.update(aside)


def _flat(found: object) -> Iterator[object]:
    """The tensors of nested lists, in order."""
    if isinstance(found, (list, tuple)):
        for each in found:
            yield from _flat(each)
    else:
        yield found
