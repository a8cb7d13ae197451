"""ACM (Dai et al., WACV 2021, arXiv 2009.14530): a small residual U-Net joined by asymmetric contextual modulation.

    size   encoder        decoder
    H/4    stem, layer1   uplayer1 ← fuse1 ← deconv1     16 channels
    H/8    layer2         uplayer2 ← fuse2 ← deconv2     32
    H/16   layer3                                        64

As BasicIRSTD (commit 95650c3) has it, whose weights and numbers are the ones in use; three blocks a stage.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.layers.asymmetric import AsymmetricModulation
from datransnet.layers.narrow_head import NarrowHead
from datransnet.layers.resnet import FAST, stage, stem
from datransnet.models.about import BASIC, About, iou
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS


@MODELS.register("acm")
class ACM(PaddedNetwork):
    """The whole network; 397,823 parameters."""

    channels_last = True
    about = About("ACM", "Dai et al., WACV 2021", "arXiv 2009.14530", 2021, "none", iou(69.440, 64.855, 60.326), BASIC)
    multiple = 16

    def __init__(self) -> None:
        super().__init__()
        self.stem = stem(8)
        self.layer1 = stage(16, 16, 3)
        self.layer2 = stage(16, 32, 3, stride=2)
        self.layer3 = stage(32, 64, 3, stride=2)
        self.deconv2 = nn.ConvTranspose2d(64, 32, 4, 2, 1)
        self.fuse2 = AsymmetricModulation(32)
        self.uplayer2 = stage(32, 32, 3)
        self.deconv1 = nn.ConvTranspose2d(32, 16, 4, 2, 1)
        self.fuse1 = AsymmetricModulation(16)
        self.uplayer1 = stage(16, 16, 3)
        self.head = NarrowHead(16, FAST)

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """The logits at H/4, enlarged."""
        shallow = self.layer1(self.stem(image))
        middle = self.layer2(shallow)
        deep = self.layer3(middle)
        up = self.uplayer2(self.fuse2(self.deconv2(deep), middle))
        up = self.uplayer1(self.fuse1(self.deconv1(up), shallow))
        return {"out": F.interpolate(self.head(up), scale_factor=4, mode="bilinear", align_corners=False)}
