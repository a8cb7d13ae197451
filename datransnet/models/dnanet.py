"""DNA-Net (Li et al., TIP 32, 2023, arXiv 2106.00487): a U-Net whose levels are joined at every column (UNet++).

Node (level, column) reads all nodes before it on its level, the enlarged one below it in the column before, and, unlike
UNet++, the reduced one above it in its own column. The last column gathers all levels:

    0,0   0,1   0,2   0,3   0,4   final
    1,0   1,1   1,2   1,3
    2,0   2,1   2,2
    3,0   3,1
    4,0
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.layers.attentive_residual import attentive_stage
from datransnet.models.about import BASIC, About, iou
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS

CHANNELS = (16, 32, 64, 128, 256)
LEVELS = len(CHANNELS)


def _scaled(x: Tensor, factor: float) -> Tensor:
    """Resized with the corners aligned. Reducing so picks points and averages nothing, as published."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)


@MODELS.register("dnanet")
class DNANet(PaddedNetwork):
    """The whole network; 4,696,568 parameters. In training, three columns of the first level give logits, too."""

    channels_last = True
    about = About("DNA-Net", "Li et al., TIP 2023", "arXiv 2106.00487", 2023, "MIT", iou(74.815, 94.192, 65.735), BASIC)
    multiple = 16

    def __init__(self) -> None:
        super().__init__()
        for column in range(LEVELS):
            for level in range(LEVELS - column):
                name = f"conv{level}_{column}"
                self.add_module(name, attentive_stage(_read(level, column), CHANNELS[level], min(level + 1, 2)))
        for level in range(1, LEVELS):
            self.add_module(f"conv0_{level}_1x1", nn.Conv2d(CHANNELS[level], CHANNELS[0], 1))
        self.conv0_4_final = attentive_stage(LEVELS * CHANNELS[0], CHANNELS[0], 1)
        for number in range(1, LEVELS):
            self.add_module(f"final{number}", nn.Conv2d(CHANNELS[0], 1, 1))

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """Logits at full size: of the last column, and with `sides` of columns 1, 2 and 3 (``output1`` to ``3``)."""
        nodes: dict[tuple[int, int], Tensor] = {}
        for column in range(LEVELS):
            for level in range(LEVELS - column):
                before = [nodes[level, earlier] for earlier in range(column)]
                if column:
                    before.append(_scaled(nodes[level + 1, column - 1], 2))
                    before += [_scaled(nodes[level - 1, column], 0.5)] if level else []
                elif level:
                    before = [F.max_pool2d(nodes[level - 1, 0], 2)]
                node = self.get_submodule(f"conv{level}_{column}")
                nodes[level, column] = node(torch.cat(before, 1) if before else image)
        gathered = [
            _scaled(self.get_submodule(f"conv0_{level}_1x1")(nodes[level, LEVELS - 1 - level]), 2**level)
            for level in range(LEVELS - 1, 0, -1)
        ]
        last = self.conv0_4_final(torch.cat([*gathered, nodes[0, LEVELS - 1]], 1))
        logits = {"out": self.get_submodule(f"final{LEVELS - 1}")(last)}
        for number in range(1, LEVELS - 1) if sides else ():
            logits[f"output{number}"] = self.get_submodule(f"final{number}")(nodes[0, number])
        return logits


def _read(level: int, column: int) -> int:
    """Channels that a node reads."""
    if column == 0:
        return CHANNELS[level - 1] if level else 1
    above = CHANNELS[level - 1] if level else 0
    return column * CHANNELS[level] + CHANNELS[level + 1] + above
