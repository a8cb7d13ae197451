"""A network that sees images normalised by its training images' statistics."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datransnet.models.registry import Network


class Normalised(Network):
    """``network((image − mean) / std)``: images in [0, 1] outside, normalised ones inside.

    The statistics are buffers, so that they are wherever the weights are: in a checkpoint, an export, a served model.

    Args:
        network: what sees the normalised images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.has_idle_parameters = network.has_idle_parameters
        self.channels_last = network.channels_last
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def measure(self, images: Iterable[npt.NDArray[np.uint8]]) -> None:
        """Take the statistics of some images H×W in 0 … 255: the mean of their means, and of their deviations.

        So BasicIRSTD has it, but over training and test images together.
        """
        moments = [(float(np.mean(image)), float(np.std(image))) for image in images]
        mean, std = np.mean(moments, axis=0) / 255
        self.mean.fill_(mean)
        self.std.fill_(max(std, 1 / 255))  # flat images alone have no deviation

    def forward(self, image: Tensor) -> Tensor:
        """Images B×1×H×W in [0, 1] → logits B×1×H×W."""
        out: Tensor = self.network((image - self.mean) / self.std)
        return out

    def outputs(self, image: Tensor) -> dict[str, Tensor]:
        """Images B×1×H×W in [0, 1] → logits by name; see `Network.outputs`."""
        return self.network.outputs((image - self.mean) / self.std)
