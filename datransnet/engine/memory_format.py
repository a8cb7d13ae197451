"""PyTorch's memory format of a network's weights: it computes the same up to the order of sums, one format faster."""

import torch
from torch import nn

from datransnet.models.registry import Network


def to_channels_last(model: nn.Module) -> None:
    """Store a network's weights with the channels last; images take this from the first weights that they meet.

    A network with weights of volumes (O×I×D×H×W), for which PyTorch has another such format, stays as it is.
    """
    if all(tensor.dim() != 5 for tensor in (*model.parameters(), *model.buffers())):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not in its hints


def predicts_channels_last(model: Network, device: str) -> bool:
    """Whether a network predicts on a device with the channels last: on a CPU, if the network says so."""
    return device == "cpu" and model.channels_last


def ready(model: Network, device: str = "cpu") -> Network:
    """A network that is to predict: in evaluation mode, on a device, in the memory format that is fastest there.

    On an accelerator its weights stay as they are: no card has been measured yet.
    """
    model.to(device).eval()
    if predicts_channels_last(model, device):
        to_channels_last(model)
    return model
