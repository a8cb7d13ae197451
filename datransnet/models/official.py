"""Published checkpoints of DATransNet (repository greekinRoma/DATransNet), read into our network.

The released network owns a fifth encoder and decoder that no forward pass uses; their keys are dropped by name and
everything else must match exactly.
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
from datransnet.models.datransnet import DATransNet
from datransnet.models.foreign_checkpoint import (
    USUAL,
    Inert,
    is_array,
    prefixes,
    read_checkpoint,
    state_dicts,
    to_tensor,
)

DEAD_PREFIXES = ("encoder5.", "decoder5.")

COUNTERS = ("total_ops", "total_params", "n_averaged", "__flops__", "__params__")
"""Ends of keys that profilers and averages add to a network's own: no weights."""
TRACKED = ".num_batches_tracked"
"""The end of keys that old versions of PyTorch did not save; nothing depends on their value in evaluation."""
NAMED = 3
"""Keys that an error names."""

# Released name → ours, applied to the whole key in this order.
RENAMES = (
    (r"^inc\.0\.", "encoders.0."),
    (r"^encoder([1-4])\.0\.", r"encoders.\1."),
    (r"^contras1\.", "skips.0."),
    (r"^contras2\.", "skips.1."),
    (r"^contras3\.", "skips.2."),
    (r"^contras4\.", "skips.3."),
    (r"(?<=\.)query_convs\.", "queries."),
    (r"(?<=\.)(key|value)_convs\.", r"\1s."),
    (r"(?<=skips\..\.)out_conv\.", "out."),
    (r"^GFEM\.sp\.W\.", "bottleneck.non_local.out."),
    (r"^GFEM\.sp\.(g|phi)\.0\.", r"bottleneck.non_local.\1."),
    (r"^GFEM\.sp\.theta\.", "bottleneck.non_local.theta."),
    (r"^GFEM\.ca\.fc1\.", "bottleneck.channel_fc."),
    (r"^GFEM\.tra_conv_1\.", "bottleneck.spatial_conv."),
    (r"^GFEM\.tra_conv_2\.", "bottleneck.channel_conv."),
    (r"^GFEM\.out_conv\.", "bottleneck.out."),
    (r"^decoder([1-4])\.", lambda match: f"decoders.{4 - int(match[1])}."),
    (r"\.sattn\.0\.", ".gate."),
    (r"\.nConvs\.0\.conv\.", ".conv1."),
    (r"\.nConvs\.0\.norm\.", ".bn1."),
    (r"\.nConvs\.1\.conv\.", ".conv2."),
    (r"\.nConvs\.1\.norm\.", ".bn2."),
    (r"^outc\.0\.dwconv_hw\.", "head.square."),
    (r"^outc\.0\.dwconv_w\.", "head.horizontal."),
    (r"^outc\.0\.dwconv_h\.", "head.vertical."),
    (r"^outc\.1\.", "head.out."),
)


@cache
def renamed(key: str) -> str:
    """Our name of a released key.

    >>> renamed("contras1.key_convs.0.weight"), renamed("decoder4.nConvs.1.norm.bias")
    ('skips.0.keys.0.weight', 'decoders.0.bn2.bias')
    """
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def load_official(source: str | Path | Mapping[str, Any], image_size: int = 256) -> DATransNet:
    """The full-width network with published weights, in whatever wrapping a script has saved them.

    Args:
        source: a ``.pth.tar`` file, or what it holds: the weights, below any keys (``state_dict``, ``net``, …), with
            anything before their names (``module.``, ``model.``, ``_orig_mod.``, …), beside anything else.
        image_size: the size the weights were trained at; it changes the function (see `datransnet.layers.datrans`).

    Returns:
        The network in evaluation mode.

    Raises:
        DataError: if the file is missing or no checkpoint, holds no weights of the network or those of several, or if a
            key is missing or unknown, or a shape is another.
    """
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read_checkpoint(Path(source))
    if isinstance(content, Mapping) and "schema" in content:
        raise DataError(f"{where} is a checkpoint of this project's own. Give its folder, once training has ended.")
    model = DATransNet(image_size=image_size)
    own = model.state_dict()
    found = list(_weights(content, own))
    if not found:
        raise DataError(f"{where} holds {_described(content)}. Give the file that training saved, with a state dict.")
    faultless = [each for each in found if not _faults(each.live, own)]
    if not faultless:
        faults = min((_faults(each.live, own) for each in found), key=len)
        more = f", and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise DataError(f"{where} does not fit DATransNet: {', '.join(faults[:NAMED])}{more}.")
    first, *others = faultless
    if any(other.place == first.place or first.place.split(".")[0] not in USUAL for other in others):
        places = " and ".join(repr(f"{each.place}.{each.prefix}".strip(".")) for each in faultless[:2])
        raise DataError(f"{where} holds {len(faultless)} networks, at {places}. Save the one that is meant.")
    live = first.live
    model.load_state_dict({key: live[key].reshape(own[key].shape) if key in live else own[key] for key in own})
    return model.eval()


@dataclass(frozen=True)
class _Found:
    """Weights in a checkpoint, by our names: below which keys they are, and what stands before their own."""

    place: str
    prefix: str
    live: dict[str, Tensor]


def _weights(content: object, own: Mapping[str, Tensor]) -> Iterator[_Found]:
    """All weights of the network that a checkpoint holds; dead keys and counters are left out."""
    for place, mapping in state_dicts(content):
        entries = {str(key): value for key, value in mapping.items()}
        for prefix in prefixes(list(entries), lambda key: renamed(key) in own):
            plain = {key.removeprefix(prefix): value for key, value in entries.items() if key.startswith(prefix)}
            weighty = {key: value for key, value in plain.items() if renamed(key) in own or is_array(value)}
            tensors = {key: to_tensor(value) for key, value in weighty.items() if not key.endswith(COUNTERS)}
            live = {renamed(key): value for key, value in tensors.items() if not key.startswith(DEAD_PREFIXES)}
            yield _Found(place, prefix, {key: value for key, value in live.items() if value is not None})


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


def _described(content: object) -> str:
    """What a checkpoint holds instead of weights, in words."""
    if isinstance(content, Inert):
        return (
            f"a whole pickled object of the class {content.stands_for}, no state dict: save model.state_dict() instead"
        )
    if isinstance(content, Mapping):
        if whole := next(
            (value for value in content.values() if isinstance(value, Inert) and "_modules" in value), None
        ):
            return _described(whole)
        keys = [str(key) for key in content][:NAMED]
        return f"no weights of DATransNet (keys: {', '.join(keys) or 'none'})"
    return f"a {type(content).__name__}, no state dict"
