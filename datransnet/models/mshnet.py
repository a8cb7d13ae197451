"""MSHNet (Liu et al., CVPR 2024, arXiv 2403.19366): a plain attentive U-Net with a head at every scale.

    size   encoder         decoder      head
    H      encoder_0       decoder_0    mask0     16 channels
    H/2    encoder_1       decoder_1    mask1     32
    H/4    encoder_2       decoder_2    mask2     64
    H/8    encoder_3       decoder_3    mask3     128
    H/16   middle_layer                           256

The four masks are enlarged and joined by one 3×3 convolution. In the authors' training the first epochs see ``mask0``
alone; here all outputs are supervised from the first step.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.layers.attentive_residual import attentive_stage
from datransnet.models.about import DRPCA, About, iou
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS

CHANNELS = (16, 32, 64, 128, 256)
FIRST = "conv_init.weight"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What the authors subtract from the three equal channels of a grey image in [0, 1], and divide them by."""


def _enlarged(x: Tensor, factor: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)


@MODELS.register("mshnet")
class MSHNet(PaddedNetwork):
    """The whole network for one grey channel; 4,065,481 parameters."""

    channels_last = True
    about = About("MSHNet", "Liu et al., CVPR 2024", "arXiv 2403.19366", 2024, "none", iou(68.35, 77.92, 64.56), DRPCA)
    multiple = 16

    def __init__(self) -> None:
        super().__init__()
        self.conv_init = nn.Conv2d(1, CHANNELS[0], 1)
        self.encoder_0 = attentive_stage(CHANNELS[0], CHANNELS[0], 1)
        self.encoder_1 = attentive_stage(CHANNELS[0], CHANNELS[1])
        self.encoder_2 = attentive_stage(CHANNELS[1], CHANNELS[2])
        self.encoder_3 = attentive_stage(CHANNELS[2], CHANNELS[3])
        self.middle_layer = attentive_stage(CHANNELS[3], CHANNELS[4])
        self.decoder_3 = attentive_stage(CHANNELS[3] + CHANNELS[4], CHANNELS[3])
        self.decoder_2 = attentive_stage(CHANNELS[2] + CHANNELS[3], CHANNELS[2])
        self.decoder_1 = attentive_stage(CHANNELS[1] + CHANNELS[2], CHANNELS[1])
        self.decoder_0 = attentive_stage(CHANNELS[0] + CHANNELS[1], CHANNELS[0], 1)
        self.output_0 = nn.Conv2d(CHANNELS[0], 1, 1)
        self.output_1 = nn.Conv2d(CHANNELS[1], 1, 1)
        self.output_2 = nn.Conv2d(CHANNELS[2], 1, 1)
        self.output_3 = nn.Conv2d(CHANNELS[3], 1, 1)
        self.final = nn.Conv2d(4, 1, 3, padding=1)

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """Logits of all scales joined, and with `sides` ``mask0`` to ``mask3``, at H, H/2, H/4 and H/8."""
        skips = [self.encoder_0(self.conv_init(image))]
        for encoder in (self.encoder_1, self.encoder_2, self.encoder_3):
            skips.append(encoder(F.max_pool2d(skips[-1], 2)))
        deep = self.middle_layer(F.max_pool2d(skips[-1], 2))
        masks: list[Tensor] = []
        decoders = (self.decoder_3, self.decoder_2, self.decoder_1, self.decoder_0)
        outputs = (self.output_3, self.output_2, self.output_1, self.output_0)
        for decoder, output in zip(decoders, outputs, strict=True):
            deep = decoder(torch.cat([skips.pop(), _enlarged(deep)], 1))
            masks.insert(0, output(deep))
        joined = [masks[0], *(_enlarged(mask, 2**level) for level, mask in enumerate(masks[1:], 1))]
        logits = {"out": self.final(torch.cat(joined, 1))}
        return logits | ({f"mask{level}": mask for level, mask in enumerate(masks)} if sides else {})

    @classmethod
    def adapt(cls, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The authors' weights, for three equal normalised channels, as those of one channel in [0, 1].

        The first convolution is 1×1, so that three equal inputs weigh as their sum: exact up to rounding.
        """
        first = weights.get(FIRST)
        if first is None or first.shape != (CHANNELS[0], 3, 1, 1) or "conv_init.bias" not in weights:
            return weights
        std = first.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
        mean = first.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
        bias = weights["conv_init.bias"] - (first * mean / std).sum((1, 2, 3))
        return {**weights, FIRST: (first / std).sum(1, keepdim=True), "conv_init.bias": bias}
