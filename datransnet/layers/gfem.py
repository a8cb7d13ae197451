"""Global Feature Extraction Module (GFEM), the bottleneck block; B×C×H×W → B×C×H×W, H and W even.

* non-local part ``s``: ``W(softmax(θᵀφ) g)`` with ``φ`` and ``g`` max-pooled 2×2, unscaled, without a residual;
* channel part: ``sigmoid(fc(mean(s)))`` times the 2×2 max-pool of the input, enlarged bilinearly;
* out ``= conv3×3(conv1×1(s) + conv3×3(channel part))``.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class NonLocal(nn.Module):
    """Attention of every pixel on the pooled pixels; B×C×H×W → B×C×H×W, H and W even.

    The last batch norm starts at zero scale and shift, so a fresh network starts without this part.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)
        self.out = nn.Sequential(nn.Conv2d(inner, channels, 1), norm)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        theta = self.theta(x).flatten(2)
        phi = F.max_pool2d(self.phi(x), 2).flatten(2)
        g = F.max_pool2d(self.g(x), 2).flatten(2)
        weights = (theta.transpose(1, 2) @ phi).softmax(dim=-1)
        out: Tensor = self.out((g @ weights.transpose(1, 2)).view(x.shape[0], -1, *x.shape[2:]))
        return out


class GlobalFeatureExtraction(nn.Module):
    """GFEM: a non-local part, and the input weighted by channel; B×C×H×W → B×C×H×W, H and W even."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.non_local = NonLocal(channels)
        self.channel_fc = nn.Conv2d(channels, channels, 1, bias=False)
        self.spatial_conv = nn.Conv2d(channels, channels, 1)
        self.channel_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.out = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        s = self.non_local(x)
        attention = self.channel_fc(s.mean(dim=(2, 3), keepdim=True)).sigmoid()
        channel = F.interpolate(attention * F.max_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=False)
        out: Tensor = self.out(self.spatial_conv(s) + self.channel_conv(channel))
        return out
