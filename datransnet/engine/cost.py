"""What a network is made of and does: parameters and operations."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters_of(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def operations_of(model: nn.Module, height: int, width: int) -> int:
    """Operations on one image H×W in evaluation mode, as computed here: 2 for a multiply-add.

    Convolutions and matrix products count, element-wise work does not.
    """
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(torch.zeros(1, 1, height, width))
    return int(counter.get_total_flops())
