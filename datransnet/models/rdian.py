"""RDIAN (Sun et al., TGRS 61, 2023, doi 10.1109/TGRS.2023.3235150): direction-induced attention, four receptive fields.

The image's eight directional differences weigh the first features; residual blocks with kernels of 1, 3, 5 and 7 pixels
see the result side by side; channel and spatial attention (CBAM) choose.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.layers.differences import opposite_products
from datransnet.layers.narrow_head import NarrowHead
from datransnet.models.about import BASIC, About, iou
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS


def _unit(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, norm, LeakyReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(0.01),
    )


class _NarrowResidual(nn.Module):
    """A residual block through half of the channels, without an activation after the sum."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.layer1 = _unit(channels, channels // 2, kernel)
        self.layer2 = _unit(channels // 2, channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        out: Tensor = self.layer2(self.layer1(x)) + x
        return out


class _ChannelGate(nn.Module):
    """CBAM's channel attention; its hidden layer is one number wide here (32 channels, reduction 32)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, 1), nn.ReLU(), nn.Linear(1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → the same, weighed."""
        scores: Tensor = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        return x * scores.sigmoid()[:, :, None, None]


class _SpatialGate(nn.Module):
    """CBAM's spatial attention: a 7×7 kernel over the channels' maximum and mean."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.ModuleDict(
            {"conv": nn.Conv2d(2, 1, 7, padding=3, bias=False), "bn": nn.BatchNorm2d(1, momentum=0.01)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → the same, weighed."""
        both = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial["bn"](self.spatial["conv"](both)))


class _Attention(nn.Module):
    """CBAM: which channels, then where."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ChannelGate = _ChannelGate(channels)
        self.SpatialGate = _SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        out: Tensor = self.SpatialGate(self.ChannelGate(x))
        return out


@MODELS.register("rdian")
class RDIAN(PaddedNetwork):
    """The whole network; 216,558 parameters, and 200 fixed ones in the public checkpoint (the direction kernels)."""

    channels_last = True
    about = About(
        "RDIAN",
        "Sun et al., TGRS 2023",
        "doi 10.1109/TGRS.2023.3235150",
        2023,
        "none",
        iou(70.737, 82.419, 59.939),
        BASIC,
    )
    dead = (r"d1[1-8]\.",)  # fixed differences: `opposite_products`

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _unit(1, 16, 3)
        self.conv2 = _unit(16, 32, 3, stride=2)
        self.residual_block0 = nn.Sequential(_NarrowResidual(32, 1))
        self.residual_block1 = nn.Sequential(*(_NarrowResidual(32, 3) for _ in range(2)))
        self.residual_block2 = nn.Sequential(*(_NarrowResidual(32, 5) for _ in range(2)))
        self.residual_block3 = nn.Sequential(*(_NarrowResidual(32, 7) for _ in range(2)))
        self.conv_cat = _unit(128, 32, 3)
        self.cbam = _Attention(32)
        self.conv_res = _unit(16, 32, 1)
        self.head = NarrowHead(32)

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """Logits at full size; the attended features at half size are enlarged and joined with the first ones."""
        first = self.conv1(image)
        half = self.conv2(first + first * opposite_products(image).sigmoid())
        fields = (self.residual_block0, self.residual_block1, self.residual_block2, self.residual_block3)
        attended = self.cbam(self.conv_cat(torch.cat([field(half) for field in fields], 1)))
        enlarged = F.interpolate(attended, size=image.shape[-2:], mode="bilinear", align_corners=False)
        return {"out": self.head((self.conv_res(first) + enlarged).relu())}
