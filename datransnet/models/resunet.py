"""ResUNet as BasicIRSTD (commit 95650c3) defines it: a residual U-Net of three poolings.

A plain network of 0.9 M parameters that beats most published ones of its size: the baseline that must be there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.layers.residual import ResidualBlock
from datransnet.models.about import DRPCA, About, iou
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS


def _blocks(in_channels: int, out_channels: int, blocks: int) -> nn.Sequential:
    later = (ResidualBlock(out_channels, out_channels, slope=0) for _ in range(blocks - 1))
    return nn.Sequential(ResidualBlock(in_channels, out_channels, slope=0), *later)


def _joined(skip: Tensor, deep: Tensor) -> Tensor:
    """A skip beside what is below it, enlarged with the corners aligned."""
    up = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=True)
    return torch.cat([skip, up], 1)


@MODELS.register("resunet")
class ResUNet(PaddedNetwork):
    """The whole network; 904,785 parameters. Nodes are named by level and column, as in UNet++."""

    channels_last = True
    about = About(
        "ResUNet", "BasicIRSTD, no paper", "XinyiYing/BasicIRSTD", 2024, "none", iou(72.31, 90.97, 63.08), DRPCA
    )
    multiple = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv0_0 = _blocks(1, 16, 1)
        self.conv1_0 = _blocks(16, 32, 2)
        self.conv2_0 = _blocks(32, 64, 2)
        self.conv3_0 = _blocks(64, 128, 2)
        self.conv2_1 = _blocks(192, 64, 1)
        self.conv1_2 = _blocks(96, 32, 1)
        self.conv0_3 = _blocks(48, 16, 1)
        self.final = nn.Conv2d(16, 1, 1)

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """The logits at full size."""
        level0 = self.conv0_0(image)
        level1 = self.conv1_0(F.max_pool2d(level0, 2))
        level2 = self.conv2_0(F.max_pool2d(level1, 2))
        level3 = self.conv3_0(F.max_pool2d(level2, 2))
        level2 = self.conv2_1(_joined(level2, level3))
        level1 = self.conv1_2(_joined(level1, level2))
        level0 = self.conv0_3(_joined(level0, level1))
        return {"out": self.final(level0)}
