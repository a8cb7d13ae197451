"""L2SKNet-UNet (Wu et al., TGRS 2024, doi 10.1109/TGRS.2024.3521947): a U-Net whose skips are learnt local contrasts.

    size   encoder  skip: kernels (size, dilation)           decoder
    H      Conv1    (9, 2) + (5, 2) + (3, 2) + (3, 1)        Up_conv2    16 channels
    H/2    Conv2    (5, 2) + (3, 2) + (3, 1)                 Up_conv3    32
    H/4    Conv3    (3, 2) + (3, 1)                          Up_conv4    64
    H/8    Conv4    (3, 1)                                               128

A contrast replaces what it reads; it is not added to it. The input is the image in [0, 1], without normalisation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.layers.saliency import LocalSaliency
from datransnet.models.about import DRPCA, About, iou
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS

CHANNELS = (16, 32, 64, 128)
KERNELS = (((9, 2), (5, 2), (3, 2), (3, 1)), ((5, 2), (3, 2), (3, 1)), ((3, 2), (3, 1)), ((3, 1),))
"""(size, dilation) of the kernels of each level."""


class _Double(nn.Module):
    """Twice convolution, norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """B×C_in×H×W → B×C_out×H×W."""
        out: Tensor = self.conv(x)
        return out


class _Up(nn.Module):
    """Nearest enlargement, convolution, norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """B×C_in×H×W → B×C_out×2H×2W."""
        out: Tensor = self.up(x)
        return out


def _contrast(channels: int, kernel: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(LocalSaliency(channels, kernel, dilation), nn.BatchNorm2d(channels), nn.LeakyReLU(0.1))


@MODELS.register("l2sknet_unet")
class L2SKUNet(PaddedNetwork):
    """The whole network; 898,913 parameters."""

    about = About(
        "L2SKNet-UNet",
        "Wu et al., TGRS 2024",
        "doi 10.1109/TGRS.2024.3521947",
        2024,
        "MIT",
        iou(72.23, 93.13, 63.73),
        DRPCA,
    )
    multiple = 8

    def __init__(self) -> None:
        super().__init__()
        for number, (before, channels) in enumerate(zip((1, *CHANNELS), CHANNELS, strict=False), 1):
            self.add_module(f"Conv{number}", _Double(before, channels))
        for level, (channels, kernels) in enumerate(zip(CHANNELS, KERNELS, strict=True)):
            if len(kernels) == 1:
                self.add_module(f"contrast{level}", _contrast(channels, *kernels[0]))
                continue
            for number, (kernel, dilation) in enumerate(kernels):
                self.add_module(f"contrast{level}_{number}", _contrast(channels, kernel, dilation))
            joint = (nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
            self.add_module(f"contrConV_{level}", nn.Sequential(*joint))
        for number in (4, 3, 2):
            deep, shallow = CHANNELS[number - 1], CHANNELS[number - 2]
            self.add_module(f"Up{number}", _Up(deep, shallow))
            self.add_module(f"Up_conv{number}", _Double(deep, shallow))
        self.Conv = nn.Conv2d(CHANNELS[0], 1, 1)

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """The logits at full size."""
        features = [self.get_submodule("Conv1")(image)]
        for number in (2, 3, 4):
            features.append(self.get_submodule(f"Conv{number}")(F.max_pool2d(features[-1], 2)))
        skips = [self._saliency(level, feature) for level, feature in enumerate(features)]
        deep = skips.pop()
        for number in (4, 3, 2):
            up = self.get_submodule(f"Up{number}")(deep)
            deep = self.get_submodule(f"Up_conv{number}")(torch.cat([skips.pop(), up], 1))
        return {"out": self.Conv(deep)}

    def _saliency(self, level: int, feature: Tensor) -> Tensor:
        """The contrasts of a level, in place of its features."""
        count = len(KERNELS[level])
        if count == 1:
            out: Tensor = self.get_submodule(f"contrast{level}")(feature)
            return out
        branches = [self.get_submodule(f"contrast{level}_{number}")(feature) for number in range(count)]
        joined: Tensor = self.get_submodule(f"contrConV_{level}")(torch.stack(branches).sum(0))
        return joined
