"""A residual U-Net: the baseline. DATransNet's encoder with plain skips and a plain decoder, and nothing else.

What DATrans, GFEM, gates and the multi-kernel head are worth is what a network gains over this one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.errors import ParameterError
from datransnet.layers.padding import reflect_to
from datransnet.layers.residual import ResidualBlock
from datransnet.models.about import About
from datransnet.models.registry import MODELS, Network


@MODELS.register("unet")
class ResidualUNet(Network):
    """Levels of residual blocks, halved by max-pooling and doubled bilinearly, joined at each size.

    Args:
        width: channels of the first level, at least 4; each level below has twice as many, up to 8 times.
        depth: poolings, at least 1.

    Raises:
        ParameterError: if a value is out of range.
    """

    channels_last = True
    about = About("residual U-Net", "this project", "DATransNet without its parts", 2026, "MIT")

    def __init__(self, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        if width < 4 or depth < 1:
            raise ParameterError(f"width = {width} must be at least 4 and depth = {depth} at least 1.")
        channels = [width * 2 ** min(level, 3) for level in range(depth + 1)]
        self.encoders = nn.ModuleList(ResidualBlock(a, b) for a, b in zip([1, *channels], channels, strict=False))
        deep_to_shallow = zip(reversed(channels[1:]), reversed(channels[:-1]), strict=True)
        self.decoders = nn.ModuleList(ResidualBlock(deep + skip, skip) for deep, skip in deep_to_shallow)
        self.head = nn.Conv2d(width, 1, 1)
        self.stride = 2**depth

    def forward(self, image: Tensor) -> Tensor:
        """Images B×1×H×W in [0, 1] → logits B×1×H×W."""
        height, width = image.shape[-2:]
        padded = [-(-size // self.stride) * self.stride for size in (height, width)]
        features = [self.encoders[0](reflect_to(image, *padded))]
        for encoder in list(self.encoders)[1:]:
            features.append(encoder(F.max_pool2d(features[-1], 2)))
        deep: Tensor = features.pop()
        for decoder in self.decoders:
            up = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
            deep = decoder(torch.cat([features.pop(), up], dim=1))
        logits: Tensor = self.head(deep)[..., :height, :width]
        return logits
