"""DATrans and the network as the paper writes them, to compare with: same parameters, same function."""

from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor

from datransnet import create_model
from datransnet.layers.datrans import DynamicAttentionTransformer
from datransnet.models.datransnet import DATransNet


def literal_datrans(block: DynamicAttentionTransformer, x: Tensor) -> Tensor:
    """Eight differences, concatenated; keys and values formed; heads by reshape. B×C×H×W → B×C×H×W."""
    batch, _, height, width = x.shape
    queries, keys, values = [], [], []
    for index, d in enumerate(block.dilations):
        padded = F.pad(x, (d, d, d, d), mode="reflect")
        shifts = [(i, j) for i in (0, d, 2 * d) for j in (0, d, 2 * d) if (i, j) != (d, d)]
        centre = x if block.gradient == "difference" else 0
        neighbours = [padded[..., i : i + height, j : j + width] - centre for i, j in shifts]
        differences = torch.cat(neighbours, dim=1)
        queries.append(block.queries[index](x))
        keys.append(block.keys[index](differences))
        values.append(block.values[index](differences))
    n = len(block.dilations)
    q, k, v = (torch.stack(items, dim=2).reshape(batch, n, -1, height * width) for items in (queries, keys, values))
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2) / block.area**0.5
    attended = F.instance_norm(scores).softmax(dim=-1) @ v
    out: Tensor = block.out(attended.reshape(batch, -1, height, width))
    return out


def make_literal(model: DATransNet) -> DATransNet:
    """Let every DATrans block of a network compute its literal form; changes and returns the network."""
    for block in model.skips:
        if isinstance(block, DynamicAttentionTransformer):
            block.forward = MethodType(literal_datrans, block)  # type: ignore[method-assign]
    return model


def create_literal(**arguments: object) -> DATransNet:
    """A DATransNet in literal form and, as released, with the channels first; arguments as `create_model`'s."""
    model = create_model("datransnet", **arguments)
    assert isinstance(model, DATransNet)
    return make_literal(model.to(memory_format=torch.contiguous_format))  # type: ignore[call-overload]
