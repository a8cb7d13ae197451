"""ALCNet as BasicIRSTD (commit 95650c3) has it: a pyramid of ACM's parts, four blocks a stage.

It is not the network of the paper (Dai et al., TGRS 2021, arXiv 2012.08573), which compares each pixel with its
neighbours (MPCM): nothing here does. But the numbers that later papers print for ALCNet are those of this network.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.layers.asymmetric import AsymmetricModulation
from datransnet.layers.narrow_head import NarrowHead
from datransnet.layers.resnet import FAST, stage, stem
from datransnet.models.about import BASIC, About, iou
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS


@MODELS.register("alcnet")
class ALCNet(PaddedNetwork):
    """The whole network; 426,961 parameters.

    The public one owns two stages of an upward path that it never runs; they are left out.
    """

    channels_last = True
    about = About(
        "ALCNet (BasicIRSTD's)",
        "Dai et al., TGRS 2021",
        "arXiv 2012.08573",
        2021,
        "none",
        iou(61.047, 61.131, 58.088),
        BASIC,
    )
    multiple = 16
    dead = (r"uplayer[12]\.",)

    def __init__(self) -> None:
        super().__init__()
        self.stem = stem(8)
        self.layer1 = stage(16, 16, 4)
        self.layer2 = stage(16, 32, 4, stride=2)
        self.layer3 = stage(32, 64, 4, stride=2)
        self.deconv2 = nn.ConvTranspose2d(64, 32, 4, 2, 1)
        self.fuse23 = AsymmetricModulation(32)
        self.deconv1 = nn.ConvTranspose2d(32, 16, 4, 2, 1)
        self.fuse12 = AsymmetricModulation(16)
        self.deconv0 = nn.ConvTranspose2d(16, 8, 4, 2, 1)
        self.head = NarrowHead(8, FAST)

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """The logits at H/2, enlarged."""
        shallow = self.layer1(self.stem(image))
        middle = self.layer2(shallow)
        deep = self.layer3(middle)
        up = self.fuse12(self.deconv1(self.fuse23(self.deconv2(deep), middle)), shallow)
        return {"out": F.interpolate(self.head(self.deconv0(up)), scale_factor=2, mode="bilinear", align_corners=False)}
