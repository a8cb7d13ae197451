"""One decoder level: the deeper map enlarged, gated by the encoder's feature, joined with the skip connection.

``y = CBR(CBR([skip, sigmoid(conv1×1(feature)) · up(deep)]))`` with ``CBR`` = 3×3 convolution, batch norm, ReLU and
``up`` = bilinear ×2 (``align_corners=False``).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from datransnet.layers.conv_norm import conv_norm


class GatedUpBlock(nn.Module):
    """deep B×C×H/2×W/2, skip and feature B×C×H×W → B×C_out×H×W."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 1)
        self.conv1 = nn.Conv2d(2 * channels, out_channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, deep: Tensor, skip: Tensor, feature: Tensor) -> Tensor:
        """See the class; returns B×C_out×H×W."""
        # Gating again in the backward pass takes less time than its three maps would take memory.
        gated = (
            checkpoint(self._gated, deep, feature, use_reentrant=False, preserve_rng_state=False)
            if self.training
            else self._gated(deep, feature)
        )
        joined = torch.cat([skip, gated], dim=1)
        inner = conv_norm(self.conv1, self.bn1, joined).relu_()
        return conv_norm(self.conv2, self.bn2, inner).relu_()

    def _gated(self, deep: Tensor, feature: Tensor) -> Tensor:
        up = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        gated: Tensor = self.gate(feature).sigmoid() * up
        return gated
