"""Published checkpoints of DATransNet (repository greekinRoma/DATransNet), read into our network.

The released network owns a fifth encoder and decoder that no forward pass uses; their keys are dropped by name and
everything else must match exactly.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datransnet.errors import DataError
from datransnet.models.datransnet import DATransNet

DEAD_PREFIXES = ("encoder5.", "decoder5.")

WRAPPERS = re.compile(r"^(?:module\.)?(?:model\.)?")
"""What released scripts put before every key: a parallel network's name, and that of the class they train in."""
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


def renamed(key: str) -> str:
    """Our name of a released key.

    >>> renamed("contras1.key_convs.0.weight"), renamed("decoder4.nConvs.1.norm.bias")
    ('skips.0.keys.0.weight', 'decoders.0.bn2.bias')
    """
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def load_official(source: str | Path | Mapping[str, Any], image_size: int = 256) -> DATransNet:
    """The full-width network with published weights.

    Args:
        source: a ``.pth.tar`` file (a state dict, or a dict that holds one as ``state_dict`` or ``net``), or the dict.
        image_size: the size the weights were trained at; it changes the function (see `datransnet.layers.datrans`).

    Returns:
        The network in evaluation mode.

    Raises:
        DataError: if the file is missing or not a checkpoint, or a key or shape does not match.
    """
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    if isinstance(source, Mapping):
        content: Mapping[str, Any] = source
    else:
        try:
            content = torch.load(source, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises many kinds for a file that is no checkpoint
            raise DataError(f"{where} cannot be read as a checkpoint: {error}.") from error
    for wrapper in ("state_dict", "net"):
        content = content.get(wrapper, content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping):
        raise DataError(f"{where} holds a {type(content).__name__}, no state dict. Give the file that training saved.")
    if "schema" in content:
        raise DataError(f"{where} is a checkpoint of this project's own. Give its folder, once training has ended.")
    plain = {WRAPPERS.sub("", str(key)): value for key, value in content.items()}
    live: dict[str, Tensor] = {renamed(key): value for key, value in plain.items() if not key.startswith(DEAD_PREFIXES)}
    model = DATransNet(image_size=image_size)
    own = model.state_dict()
    faults = [f"{key} is missing" for key in own if key not in live]
    faults += [f"{key} is unknown" for key in live if key not in own]
    faults += [f"{key} has another shape" for key in own if key in live and own[key].shape != live[key].shape]
    if faults:
        more = f", and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise DataError(f"{where} does not fit DATransNet: {', '.join(faults[:NAMED])}{more}.")
    model.load_state_dict(live, strict=True)
    return model.eval()
