"""The command ``info``: layers, live and dead parameters, operations and size of a network."""

import torch
from torch import nn

from datransnet.commands.assignments import parse_assignments
from datransnet.engine.cost import operations_of
from datransnet.models import create_model


def _live(model: nn.Module, height: int, width: int) -> set[str]:
    """Names of the parameters that a gradient reaches."""
    model.train()(torch.rand(2, 1, height, width)).sum().backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def info_command(name: str, pairs: list[str], height: int, width: int) -> None:
    """Print layers, parameters, operations and size of a network."""
    model = create_model(name, **parse_assignments(pairs))
    operations = operations_of(model, height, width) / 1e9
    live = _live(model, 64, 64)
    count = {key: parameter.numel() for key, parameter in model.named_parameters()}
    for child, module in model.named_children():
        parts = list(module.named_children()) if isinstance(module, nn.ModuleList) else [("", module)]
        for index, part in parts:
            label = f"{child}.{index}".rstrip(".")
            print(f"{label:12} {type(part).__name__:28} {sum(p.numel() for p in part.parameters()):>10,} parameters")
    total, alive = sum(count.values()), sum(count[key] for key in live)
    print(f"parameters   {total:,}, of them {alive:,} live and {total - alive:,} dead ({total * 4 / 2**20:.1f} MiB)")
    print(f"operations   {operations:.2f} G at {height}×{width} (a multiply-add is 2), as computed here")
