"""Checkpoints that other people's scripts have saved: read without executing anything, and the weights found in them.

``torch.save`` pickles whatever a script gives it, and unpickling calls what the file names. Here only what builds
tensors and NumPy arrays is called; everything else becomes an inert stand-in, so that a configuration object or a
metric beside the weights is no obstacle, and no danger.
"""

import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datransnet.errors import DataError

_TENSORS = {
    "torch": (
        "Size",
        "device",
        "Tensor",
        "FloatStorage",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "int64",
        "uint8",
    ),
    "torch._utils": (
        "_rebuild_tensor",
        "_rebuild_tensor_v2",
        "_rebuild_tensor_v3",
        "_rebuild_parameter",
        "_rebuild_parameter_with_state",
    ),
    "torch.nn.parameter": ("Parameter",),
    "torch.serialization": ("_get_layout",),
    "torch.storage": ("UntypedStorage", "TypedStorage"),
    "collections": ("OrderedDict",),
    "_codecs": ("encode",),
    "numpy": ("ndarray", "dtype"),
}
"""What may be called while a checkpoint is read, by module: it builds arrays and does nothing else."""

_ARRAYS = ("_reconstruct", "scalar", "_frombuffer")
"""The same of NumPy, whose modules have been renamed."""

USUAL = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
"""Where a script's weights are, if several places hold some."""

DEPTH = 5
"""Wrappings around the weights."""


class Inert(dict[Any, Any]):
    """Stands for an object of a class that is not to be made: takes whatever is done to it, and does nothing.

    It keeps what is put into it by keys: many classes of configurations and states are dictionaries.
    """

    stands_for = ""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__()

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __setstate__(self, state: object) -> None:
        if isinstance(state, Mapping):
            self.update(state)

    def __call__(self, *arguments: object, **named: object) -> "Inert":
        """Another stand-in: what a stand-in is called for is not made either."""
        return Inert()

    def append(self, item: object) -> None:
        """Ignore an item: a list or a set that pickle fills is not needed."""

    extend = add = append


@cache
def _inert_class(name: str) -> type[Inert]:
    return type("Inert", (Inert,), {"stands_for": name})


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        numpys = module.startswith(("numpy.core.", "numpy._core.")) and name in _ARRAYS
        if name in _TENSORS.get(module, ()) or (module.startswith("numpy.dtypes") and name.endswith("DType")) or numpys:
            return getattr(import_module(module.replace("numpy.core.", "numpy._core.")), name)
        return _inert_class(f"{module}.{name}")


def _load(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load()


_PICKLE: Any = SimpleNamespace(__name__="inert", Unpickler=_Unpickler, load=_load)


def read_checkpoint(path: Path) -> object:
    """What a checkpoint holds, with stand-ins (`Inert`) for objects of classes that are not to be made.

    Raises:
        DataError: if the file is missing, or no checkpoint.
    """
    if _is_torchscript(path):  # torch.load would hand it to a reader that makes its classes
        raise DataError(
            f"{path} is a TorchScript archive, whose code is not run. Save the network's state dict instead."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_PICKLE)
    except FileNotFoundError:
        raise DataError(f"There is no checkpoint {path}.") from None
    except Exception as error:  # torch.load raises many kinds for a file that is no checkpoint
        reason = str(error).split("\n")[0].rstrip(".")[:120]
        raise DataError(f"{path} cannot be read as a checkpoint ({reason or type(error).__name__}).") from error


def _is_torchscript(path: Path) -> bool:
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
    return False


def state_dicts(content: object, place: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Mappings in a checkpoint that hold tensors by name, outer ones first, each with where it is (``model.ema``)."""
    if isinstance(content, Mapping):
        if any(isinstance(key, str) and is_array(value) for key, value in content.items()):
            yield place, content
        inner = [(str(key), value) for key, value in content.items()]
        inner.sort(key=lambda pair: USUAL.index(pair[0]) if pair[0] in USUAL else len(USUAL))
    elif isinstance(content, (list, tuple)):
        inner = [(str(number), value) for number, value in enumerate(content)]
    else:
        return
    for key, value in inner if depth else ():
        yield from state_dicts(value, f"{place}.{key}".removeprefix("."), depth - 1)


def is_array(value: object) -> bool:
    """Whether a value may be a weight: a plain number beside weights is none."""
    return isinstance(value, (Tensor, np.ndarray))


def prefixes(keys: list[str], is_known: Callable[[str], bool]) -> dict[str, int]:
    """What stands before the names of a network's weights, such as ``module.model.``, with how many it stands before.

    Args:
        keys: of a state dict.
        is_known: whether a name is one of the network's.
    """
    found: dict[str, int] = {}
    for key in keys:
        parts = key.split(".")
        for start in range(len(parts)):
            if is_known(".".join(parts[start:])):
                prefix = key[: len(key) - len(".".join(parts[start:]))]
                found[prefix] = found.get(prefix, 0) + 1
                break
    return found


def to_tensor(value: object) -> Tensor | None:
    """A weight as a tensor; None where it is no number."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (np.ndarray, np.generic, int, float)):
        try:
            return torch.as_tensor(np.asarray(value))
        except TypeError:
            return None
    return None
