"""Learnable local saliency kernels (L2SKNet, TGRS 2024, doi 10.1109/TGRS.2024.3521947)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocalSaliency(nn.Module):
    """How much a weighed neighbourhood differs from its centre; B×C×H×W → B×C×H×W.

    ``y = Σ_δ w_δ (x(p) − x(p + δ)) + θ(x) · w_0 x(p)``, with a gate θ for each channel from the image's mean.

    The paper computes three convolutions: by the kernel, by the sum of its taps, and by its centre. The first two are
    one, whose centre tap is the sum of the others: so it is computed here, on the same weights.

    Args:
        channels: C.
        kernel: size of the kernel in pixels, odd.
        dilation: distance of its taps in pixels.
    """

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.conv = nn.Conv2d(channels, channels, kernel, bias=False)
        gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1, bias=False),
            nn.BatchNorm2d(channels // 4),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.Sigmoid(),
        )
        self.attn = nn.ModuleDict({"avg_channel": gate})

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        weight = self.conv.weight
        reach = weight.shape[-1] // 2
        total = F.pad(weight.sum((2, 3), keepdim=True), [reach] * 4)
        differences = F.conv2d(x, total - weight, padding=reach * self.dilation, dilation=self.dilation)
        centre = F.conv2d(x, weight[..., reach, reach, None, None])
        return torch.addcmul(differences, self.attn["avg_channel"](x), centre)
