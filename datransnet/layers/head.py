"""The output head: four groups of channels seen through four kernels, then one logit; B×C×H×W → B×1×H×W."""

import torch
from torch import Tensor, nn


class MultiKernelHead(nn.Module):
    """Identity, 3×3, 1×11 and 11×1 depthwise convolutions on a quarter of the channels each, then a 1×1 convolution.

    Where C is no multiple of four, the identity takes the remainder.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        group = channels // 4
        self.groups = [channels - 3 * group, group, group, group]
        self.square = nn.Conv2d(group, group, 3, padding=1, groups=group)
        self.horizontal = nn.Conv2d(group, group, (1, 11), padding=(0, 5), groups=group)
        self.vertical = nn.Conv2d(group, group, (11, 1), padding=(5, 0), groups=group)
        self.out = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → logits B×1×H×W."""
        same, square, horizontal, vertical = x.split(self.groups, dim=1)
        mixed = [same, self.square(square), self.horizontal(horizontal), self.vertical(vertical)]
        out: Tensor = self.out(torch.cat(mixed, dim=1))
        return out
