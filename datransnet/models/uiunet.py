"""UIU-Net (Wu, Hong, Chanussot, TIP 32, 2023, arXiv 2212.00968): a U-Net of U-Nets (U²-Net) with fused skips.

    size    encoder                       decoder
    H       stage1   RSU-7(1, 32, 64)     stage1d  RSU-7(128, 16, 64)     side1
    H/2     stage2   RSU-6(64, 32, 128)   stage2d  RSU-6(256, 32, 64)     side2
    H/4     stage3   RSU-5(128, 64, 256)  stage3d  RSU-5(512, 64, 128)    side3
    H/8     stage4   RSU-4(256, 128, 512) stage4d  RSU-4(1024, 128, 256)  side4
    H/16    stage5   RSU-4F(512, 256, 512) stage5d RSU-4F(1024, 256, 512) side5
    H/32    stage6   RSU-4F(512, 256, 512)                                side6

RSU-L(in, inner, out) is a residual U-Net of L levels. Runs on any size: poolings round up, and what is enlarged takes
the size of its partner.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.layers.conv_norm import conv_norm
from datransnet.models.about import BASIC, About, iou
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS


class _Unit(nn.Module):
    """Convolution, norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """B×C_in×H×W → B×C_out×H×W."""
        return conv_norm(self.conv_s1, self.bn_s1, x).relu()


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def _like(x: Tensor, partner: Tensor) -> Tensor:
    """Resized to the partner's height and width."""
    return F.interpolate(x, size=partner.shape[-2:], mode="bilinear", align_corners=False)


class ResidualUBlock(nn.Module):
    """RSU: a small U-Net added to its first convolution; B×C_in×H×W → B×C_out×H×W.

    Args:
        in_channels: C_in.
        inner: channels inside.
        out_channels: C_out.
        depth: levels L; the last is dilated instead of halved.
        flat: dilations of 1, 2, 4, 8 instead of poolings (RSU-4F).
    """

    def __init__(self, in_channels: int, inner: int, out_channels: int, depth: int, flat: bool = False) -> None:
        super().__init__()
        self.depth, self.flat = depth, flat
        self.rebnconvin = _Unit(in_channels, out_channels)
        for level in range(1, depth + 1):
            dilation = 2 ** (level - 1) if flat else 2 if level == depth else 1
            self.add_module(f"rebnconv{level}", _Unit(out_channels if level == 1 else inner, inner, dilation))
        for level in range(depth - 1, 0, -1):
            up = _Unit(2 * inner, out_channels if level == 1 else inner, 2 ** (level - 1) if flat else 1)
            self.add_module(f"rebnconv{level}d", up)

    def forward(self, x: Tensor) -> Tensor:
        """B×C_in×H×W → B×C_out×H×W."""
        first = self.rebnconvin(x)
        levels = [first]
        for level in range(1, self.depth + 1):
            pooled = not self.flat and 1 < level < self.depth
            levels.append(self.get_submodule(f"rebnconv{level}")(_halved(levels[-1]) if pooled else levels[-1]))
        deep = levels.pop()
        for level in range(self.depth - 1, 0, -1):
            skip = levels.pop()
            # Where the sizes are equal, resizing would be the identity.
            deep = deep if deep.shape == skip.shape else _like(deep, skip)
            deep = self.get_submodule(f"rebnconv{level}d")(torch.cat([deep, skip], 1))
        out: Tensor = deep + first
        return out


class _BottomUp(nn.Module):
    """A 3×3 convolution of the channels' mean and maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×1×H×W."""
        out: Tensor = self.conv1(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))
        return out


class _Fusion(nn.Module):
    """Two gated views of a skip and of what is below it, side by side; both B×C×H×W → B×2C×H×W.

    ``post`` serves both views with the same weights, so that its running statistics move twice a step; a norm of single
    pixels (``topdown``) needs at least two images in a batch of training. Both as published.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        self.feature_high = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU())
        self.topdown = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, quarter, 1),
            nn.BatchNorm2d(quarter),
            nn.ReLU(),
            nn.Conv2d(quarter, channels, 1),
            nn.BatchNorm2d(channels),
            nn.Sigmoid(),
        )
        self.bottomup = nn.Sequential(
            nn.Conv2d(channels, quarter, 1), nn.BatchNorm2d(quarter), nn.ReLU(), _BottomUp(), nn.Sigmoid()
        )
        self.post = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Two B×C×H×W → B×2C×H×W."""
        high = self.feature_high(high)
        chosen = low * self.topdown(high)
        return torch.cat([self.post(2 * chosen), self.post(2 * high * self.bottomup(chosen))], 1)


@MODELS.register("uiunet")
class UIUNet(PaddedNetwork):
    """The whole network; 50,540,309 parameters, 54 G multiply-adds at 256²: for a GPU."""

    channels_last = True
    about = About(
        "UIU-Net",
        "Wu, Hong, Chanussot, TIP 2023",
        "arXiv 2212.00968",
        2023,
        "Apache-2.0",
        iou(77.531, 90.517, 65.690),
        BASIC,
    )

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = ResidualUBlock(1, 32, 64, 7)
        self.stage2 = ResidualUBlock(64, 32, 128, 6)
        self.stage3 = ResidualUBlock(128, 64, 256, 5)
        self.stage4 = ResidualUBlock(256, 128, 512, 4)
        self.stage5 = ResidualUBlock(512, 256, 512, 4, flat=True)
        self.stage6 = ResidualUBlock(512, 256, 512, 4, flat=True)
        self.fuse5 = _Fusion(512)
        self.stage5d = ResidualUBlock(1024, 256, 512, 4, flat=True)
        self.fuse4 = _Fusion(512)
        self.stage4d = ResidualUBlock(1024, 128, 256, 4)
        self.fuse3 = _Fusion(256)
        self.stage3d = ResidualUBlock(512, 64, 128, 5)
        self.fuse2 = _Fusion(128)
        self.stage2d = ResidualUBlock(256, 32, 64, 6)
        self.stage1d = ResidualUBlock(128, 16, 64, 7)
        for number, channels in enumerate((64, 64, 128, 256, 512, 512), 1):
            self.add_module(f"side{number}", nn.Conv2d(channels, 1, 3, padding=1))
        self.outconv = nn.Conv2d(6, 1, 1)

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """Logits of the six sides joined, and with `sides` each one's, all at full size."""
        skips = [self.stage1(image)]
        for stage in (self.stage2, self.stage3, self.stage4, self.stage5, self.stage6):
            skips.append(stage(_halved(skips[-1])))
        deep = skips.pop()
        features = [deep]
        for fuse, decode in (
            (self.fuse5, self.stage5d),
            (self.fuse4, self.stage4d),
            (self.fuse3, self.stage3d),
            (self.fuse2, self.stage2d),
        ):
            skip = skips.pop()
            deep = decode(fuse(_like(deep, skip), skip))
            features.insert(0, deep)
        skip = skips.pop()
        features.insert(0, self.stage1d(torch.cat([_like(deep, skip), skip], 1)))
        logits = {
            f"side{number}": _like(self.get_submodule(f"side{number}")(feature), image)
            for number, feature in enumerate(features, 1)
        }
        main = {"out": self.outconv(torch.cat(list(logits.values()), 1))}
        return main | logits if sides else main
