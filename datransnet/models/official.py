"""Published checkpoints, read into our networks.

Parts that a public network owns and no forward pass uses are dropped by name (`Network.dead`); its names become ours
(`Network.renames`); everything else must match exactly.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datransnet.errors import DataError
from datransnet.models.foreign_checkpoint import (
    USUAL,
    Inert,
    is_array,
    prefixes,
    read_checkpoint,
    state_dicts,
    to_tensor,
)
from datransnet.models.registry import Network, Renames, canonical_name, create_model

COUNTERS = ("total_ops", "total_params", "n_averaged", "__flops__", "__params__")
"""Ends of keys that profilers and averages add to a network's own: no weights."""
TRACKED = ".num_batches_tracked"
"""The end of keys that old versions of PyTorch did not save; nothing depends on their value in evaluation."""
NAMED = 3
"""Keys that an error names."""


def renamed(key: str, network: type[Network]) -> str:
    """Our name of a published key.

    >>> from datransnet.models import DATransNet
    >>> renamed("contras1.key_convs.0.weight", DATransNet)
    'skips.0.keys.0.weight'
    """
    return _renamed(key, network.renames)


@cache
def _renamed(key: str, renames: Renames) -> str:
    for pattern, replacement in renames:
        key = re.sub(pattern, replacement, key)
    return key


def load_official(source: str | Path | Mapping[str, Any], image_size: int = 256, model: str = "datransnet") -> Network:
    """A network with published weights, in whatever wrapping a script has saved them.

    Args:
        source: a ``.pth.tar`` file, or what it holds: the weights, below any keys (``state_dict``, ``net``, …), with
            anything before their names (``module.``, ``model.``, ``_orig_mod.``, …), beside anything else.
        image_size: the size the weights were trained at; it changes the function of DATransNet (see
            `datransnet.layers.datrans`) and of no other network.
        model: the network's name.

    Returns:
        The network in evaluation mode, in double precision if its weights are.

    Raises:
        ParameterError: if no network has that name.
        DataError: if the file is missing or no checkpoint, holds no weights of the network or those of several, or if a
            key is missing or unknown, or a shape is another.
    """
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read_checkpoint(Path(source))
    if isinstance(content, Mapping) and "schema" in content:
        raise DataError(f"{where} is a checkpoint of this project's own. Give its folder, once training has ended.")
    name = canonical_name(model)
    network = create_model(name, **({"image_size": image_size} if name == "datransnet" else {}))
    kind = type(network)
    own = network.state_dict()
    found = list(_weights(content, own, kind))
    if not found:
        raise DataError(
            f"{where} holds {_described(content, kind)}. Give the file that training saved, with a state dict."
        )
    faultless = [each for each in found if not _faults(each.live, own)]
    if not faultless:
        faults = min((_faults(each.live, own) for each in found), key=len)
        more = f", and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise DataError(f"{where} does not fit {kind.__name__}: {', '.join(faults[:NAMED])}{more}.")
    first, *others = faultless
    if any(other.place == first.place or first.place.split(".")[0] not in USUAL for other in others):
        places = " and ".join(repr(f"{each.place}.{each.prefix}".strip(".")) for each in faultless[:2])
        raise DataError(f"{where} holds {len(faultless)} networks, at {places}. Save the one that is meant.")
    live = first.live
    if any(value.dtype == torch.float64 for value in live.values()):
        network = network.double()
    network.load_state_dict({key: live[key].reshape(own[key].shape) if key in live else own[key] for key in own})
    return network.eval()


@dataclass(frozen=True)
class _Found:
    """Weights in a checkpoint, by our names: below which keys they are, and what stands before their own."""

    place: str
    prefix: str
    live: dict[str, Tensor]


def _weights(content: object, own: Mapping[str, Tensor], network: type[Network]) -> Iterator[_Found]:
    """All weights of the network that a checkpoint holds; dead keys and counters are left out."""
    is_dead = re.compile("|".join(network.dead) or r"(?!)").match

    def is_own(key: str) -> bool:
        return renamed(key, network) in own

    for place, mapping in state_dicts(content):
        entries = {str(key): value for key, value in mapping.items()}
        for prefix in prefixes(list(entries), is_own):
            plain = {key.removeprefix(prefix): value for key, value in entries.items() if key.startswith(prefix)}
            weighty = {key: value for key, value in plain.items() if is_own(key) or is_array(value)}
            tensors = {key: to_tensor(value) for key, value in weighty.items() if not key.endswith(COUNTERS)}
            live = {renamed(key, network): value for key, value in tensors.items() if not is_dead(key)}
            known = {key: value for key, value in live.items() if value is not None}
            yield _Found(place, prefix, dict(network.adapt(known)))


def _faults(live: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """What keeps weights from fitting, in words."""
    faults = [f"{key} is missing" for key in own if key not in live and not key.endswith(TRACKED)]
    faults += [f"{key} is unknown" for key in live if key not in own]
    shapes = [(key, own[key], live[key]) for key in own if key in live]
    faults += [f"{key} holds no plain numbers" for key, _, b in shapes if not _plain(b)]
    return faults + [
        f"{key} has another shape" for key, a, b in shapes if a.shape != b.shape and a.numel() * b.numel() != 1
    ]


def _plain(weight: Tensor) -> bool:
    """Whether a weight is of real, finite numbers that are here."""
    usual = weight.layout == torch.strided and not (weight.is_complex() or weight.is_meta or weight.is_quantized)
    return usual and (not weight.is_floating_point() or bool(weight.float().isfinite().all()))


def _described(content: object, network: type[Network]) -> str:
    """What a checkpoint holds instead of weights, in words."""
    if isinstance(content, Inert):
        return (
            f"a whole pickled object of the class {content.stands_for}, no state dict: save model.state_dict() instead"
        )
    if isinstance(content, Mapping):
        if whole := next(
            (value for value in content.values() if isinstance(value, Inert) and "_modules" in value), None
        ):
            return _described(whole, network)
        keys = [str(key) for key in content][:NAMED]
        return f"no weights of {network.__name__} (keys: {', '.join(keys) or 'none'})"
    return f"a {type(content).__name__}, no state dict"
