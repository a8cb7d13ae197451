"""DATransNet (arXiv 2409.19599): an encoder and decoder with attention on the skips and at the bottleneck.

    level  size  channels  skip block       dilations
    0      S     w         DATrans          1, 3
    1      S/2   2w        DATrans          1, 3
    2      S/4   4w        DATrans          1, 3
    3      S/8   8w        DATrans          1
    4      S/16  8w        GFEM (bottleneck)

with base width w = 16. Inputs of any size are reflect-padded to a multiple of 32 (four poolings, one more inside GFEM)
and the logits cropped back.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.errors import ParameterError
from datransnet.layers.datrans import DynamicAttentionTransformer
from datransnet.layers.decoder import GatedUpBlock
from datransnet.layers.gfem import GlobalFeatureExtraction
from datransnet.layers.head import MultiKernelHead
from datransnet.layers.padding import reflect_to
from datransnet.layers.residual import ResidualBlock
from datransnet.models.about import About
from datransnet.models.registry import MODELS, Network, Renames

STRIDE = 32
PAPER_DILATIONS = ((1, 3), (1, 3), (1, 3), (1,))

RENAMES: Renames = (
    (r"^inc\.0\.", "encoders.0."),
    (r"^encoder([1-4])\.0\.", r"encoders.\1."),
    (r"^contras1\.", "skips.0."),
    (r"^contras2\.", "skips.1."),
    (r"^contras3\.", "skips.2."),
    (r"^contras4\.", "skips.3."),
    (r"(?<=\.)query_convs\.", "queries."),
    (r"(?<=\.)(key|value)_convs\.", r"\1s."),
    (r"(?<=skips\..\.)out_conv\.", "out."),
    (r"^GFEM\.sp\.W\.", "bottleneck.non_local.out."),
    (r"^GFEM\.sp\.(g|phi)\.0\.", r"bottleneck.non_local.\1."),
    (r"^GFEM\.sp\.theta\.", "bottleneck.non_local.theta."),
    (r"^GFEM\.ca\.fc1\.", "bottleneck.channel_fc."),
    (r"^GFEM\.tra_conv_1\.", "bottleneck.spatial_conv."),
    (r"^GFEM\.tra_conv_2\.", "bottleneck.channel_conv."),
    (r"^GFEM\.out_conv\.", "bottleneck.out."),
    (r"^decoder([1-4])\.", lambda match: f"decoders.{4 - int(match[1])}."),
    (r"\.sattn\.0\.", ".gate."),
    (r"\.nConvs\.0\.conv\.", ".conv1."),
    (r"\.nConvs\.0\.norm\.", ".bn1."),
    (r"\.nConvs\.1\.conv\.", ".conv2."),
    (r"\.nConvs\.1\.norm\.", ".bn2."),
    (r"^outc\.0\.dwconv_hw\.", "head.square."),
    (r"^outc\.0\.dwconv_w\.", "head.horizontal."),
    (r"^outc\.0\.dwconv_h\.", "head.vertical."),
    (r"^outc\.1\.", "head.out."),
)
"""Released name → ours, applied to the whole key in this order."""


@MODELS.register("datransnet")
class DATransNet(Network):
    """The whole network.

    Args:
        image_size: pixels along one side that the network is built for. It scales the attention's scores (see
            `datransnet.layers.datrans`), so it belongs to a checkpoint; other sizes run, with that constant.
        width: channels of the first level, at least 4.
        dilations: distances of the neighbours, in pixels: a sequence for each of the four skip levels, or one for all.
        datrans: DATrans on the skips, else the encoder's feature as it is (ablation).
        gfem: GFEM at the bottleneck, else the encoder's feature as it is (ablation).
        gradient: ``"difference"`` (the paper) or ``"plain"`` neighbours in DATrans (ablation).

    Raises:
        ParameterError: if a value is out of range.

    The released network (greekinRoma/DATransNet) owns a fifth encoder and decoder that no forward pass uses.
    """

    channels_last = True
    about = About("DATransNet", "GRSL 2025", "arXiv 2409.19599", 2025, "MIT")
    dead = (r"encoder5\.", r"decoder5\.")
    renames = RENAMES

    def __init__(
        self,
        image_size: int = 256,
        width: int = 16,
        dilations: Sequence[int] | Sequence[Sequence[int]] = PAPER_DILATIONS,
        datrans: bool = True,
        gfem: bool = True,
        gradient: str = "difference",
    ) -> None:
        super().__init__()
        if width < 4 or image_size < STRIDE:
            raise ParameterError(f"width = {width} must be at least 4 and image_size = {image_size} at least {STRIDE}.")
        levels = per_level(dilations)
        encoded = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.encoders = nn.ModuleList(ResidualBlock(a, b) for a, b in zip([1, *encoded], encoded, strict=False))
        self.skips = nn.ModuleList(nn.Identity() for _ in levels)
        if datrans:
            self.skips = nn.ModuleList(
                DynamicAttentionTransformer(
                    channels,
                    _divisible(min(channels, 2 * width), len(level) ** 2),
                    level,
                    area=(image_size / 2**index) ** 2,
                    gradient=gradient,
                )
                for index, (channels, level) in enumerate(zip(encoded[:-1], levels, strict=True))
            )
        self.bottleneck = GlobalFeatureExtraction(encoded[-1]) if gfem else nn.Identity()
        deep_to_shallow = zip(reversed(encoded[:-1]), [4 * width, 2 * width, width, width], strict=True)
        self.decoders = nn.ModuleList(GatedUpBlock(a, b) for a, b in deep_to_shallow)
        self.head = MultiKernelHead(width)
        # Convolutions of few channels are up to three times faster on CPUs with the channels last.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Reflect padding inside DATrans needs a level larger than its dilation.
        self.smallest = max(2**index * (max(level) + 1) for index, level in enumerate(levels))

    def forward(self, image: Tensor) -> Tensor:
        """Images B×1×H×W in [0, 1] → logits B×1×H×W."""
        height, width = image.shape[-2:]
        padded = [-(-max(size, self.smallest) // STRIDE) * STRIDE for size in (height, width)]
        features = [self.encoders[0](reflect_to(image, *padded))]
        for encoder in list(self.encoders)[1:]:
            features.append(encoder(F.max_pool2d(features[-1], 2)))
        deep: Tensor = self.bottleneck(features.pop())
        for decoder, skip in zip(self.decoders, reversed(list(self.skips)), strict=True):
            feature = features.pop()
            deep = decoder(deep, skip(feature), feature)
        logits: Tensor = self.head(deep)[..., :height, :width]
        return logits


def per_level(dilations: Sequence[int] | Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Dilations of each of the four skip levels, from one sequence for all or one for each.

    >>> per_level([1, 2])
    [(1, 2), (1, 2), (1, 2), (1, 2)]
    """
    given: list[Any] = list(dilations) if isinstance(dilations, Sequence) else []
    nested = [item for item in given if isinstance(item, Sequence)]
    levels = [tuple(level) for level in nested] if nested else [tuple(given)] * len(PAPER_DILATIONS)
    proper = all(
        level and all(type(d) is int and d >= 1 for d in level) and len(set(level)) == len(level) for level in levels
    )
    if not proper or len(levels) != len(PAPER_DILATIONS) or (nested and len(nested) != len(given)):
        raise ParameterError(
            f"dilations = {dilations!r} must be distinct positive integers, as one list or a list for each of "
            f"{len(PAPER_DILATIONS)} levels."
        )
    return levels


def _divisible(value: int, divisor: int) -> int:
    """The smallest multiple of ``divisor`` that is at least ``value``."""
    return -(-value // divisor) * divisor
