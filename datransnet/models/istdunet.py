"""ISTDU-Net (Hou et al., GRSL 19, 2022, doi 10.1109/LGRS.2022.3141584): ResNeSt's stages, external attention on skips.

    size   encoder        skip     way up
    H      stem, layer1   DN.X1    y1 = x1 + 2↑ up3(y2)    64 channels
    H/2    layer2         DN.X2    y2 = x2 + 2↑ up2(y3)    128
    H/4    layer3         DN.X3    y3 = x3 + 2↑ up1(x4)    256
    H/8    layer4         DN.X4    x4                      512

As BasicIRSTD (commit 95650c3) has it.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.layers.conv_norm import conv_norm
from datransnet.models.about import BASIC, About, iou
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS

RADIX = 2
CARDINALITY = 4
SLOTS = 64
"""Rows of the memory that external attention reads."""


class _SplitAttention(nn.Module):
    """ResNeSt's split attention: two grouped convolutions, blended for each channel; B×C×H×W → B×C×H×W."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels * RADIX // 4, 32)
        self.conv = nn.Conv2d(channels, RADIX * channels, 3, padding=1, groups=CARDINALITY * RADIX, bias=False)
        self.bn0 = nn.BatchNorm2d(RADIX * channels)
        self.fc1 = nn.Conv2d(channels, inner, 1, groups=CARDINALITY)
        self.bn1 = nn.BatchNorm2d(inner)
        self.fc2 = nn.Conv2d(inner, RADIX * channels, 1, groups=CARDINALITY)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        first, second = self.bn0(self.conv(x)).relu().chunk(RADIX, 1)
        mean = (first + second).mean((2, 3), keepdim=True)
        scores = self.fc2(self.bn1(self.fc1(mean)).relu())
        # The second layer orders its channels by group first, the splits by radix first.
        weights = scores.unflatten(1, (CARDINALITY, RADIX, -1)).transpose(1, 2).softmax(1).flatten(1, 3)
        a, b = weights.chunk(RADIX, 1)
        out: Tensor = first * a + second * b
        return out


class _Bottleneck(nn.Module):
    """ResNeSt's block; B×C_in×H×W → B×4p×(H/stride)×(W/stride)."""

    def __init__(self, in_channels: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = 4 * planes
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _SplitAttention(planes)
        self.reduce = nn.AvgPool2d(3, stride, 1) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """B×C_in×H×W → B×4p×(H/stride)×(W/stride)."""
        inner = self.reduce(self.conv2(conv_norm(self.conv1, self.bn1, x).relu()))
        passed = x if self.downsample is None else self.downsample(x)
        return (conv_norm(self.conv3, self.bn3, inner) + passed).relu()


class ExternalAttention(nn.Module):
    """Pixels attend to a memory of 64 rows instead of to each other: linear in their number; B×C×H×W → the same.

    The weights are a softmax over the pixels, divided by their sum over the memory, so that the result depends on how
    many pixels there are. The bias of ``conv1`` shifts every pixel's score alike and has no influence; checkpoints hold
    it. In the public code ``linear_1`` starts as a view of ``linear_0``, which the first copy to a device separates:
    trained checkpoints hold two, and so does this one.

    Nothing stands between ``conv1`` and ``linear_0``, nor between ``linear_1`` and ``conv2``: each pair is applied as
    one matrix of C×64 instead of two of up to C×C. The same function for a third of the operations.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.linear_0 = nn.Conv1d(channels, SLOTS, 1, bias=False)
        self.linear_1 = nn.Conv1d(SLOTS, channels, 1, bias=False)
        self.conv2 = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        project, norm = self.conv2
        assert isinstance(project, nn.Conv2d)
        into = self.linear_0.weight[..., 0] @ self.conv1.weight[..., 0, 0]
        bias = self.linear_0.weight[..., 0] @ self.conv1.bias if self.conv1.bias is not None else None
        out_of = project.weight[..., 0, 0] @ self.linear_1.weight[..., 0]
        weights = F.conv2d(x, into[..., None, None], bias).flatten(2).softmax(2)
        weights = (weights / (1e-9 + weights.sum(1, keepdim=True))).unflatten(2, x.shape[-2:])
        out: Tensor = norm(F.conv2d(weights, out_of[..., None, None])) + x
        return out


def _stage(in_channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    later = (_Bottleneck(4 * planes, planes) for _ in range(blocks - 1))
    return nn.Sequential(_Bottleneck(in_channels, planes, stride), *later)


def _unit(in_channels: int, out_channels: int, kernel: int) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU()]


def _enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


@MODELS.register("istdunet")
class ISTDUNet(PaddedNetwork):
    """The whole network; 2,751,873 parameters. The public one owns a second head that it never runs."""

    channels_last = True
    about = About(
        "ISTDU-Net",
        "Hou et al., GRSL 2022",
        "doi 10.1109/LGRS.2022.3141584",
        2022,
        "none",
        iou(75.928, 91.762, 65.014),
        BASIC,
    )
    multiple = 8
    dead = (r"headDet\.",)

    def __init__(self) -> None:
        super().__init__()
        stages = nn.ModuleDict(
            {
                "layer1": _stage(16, 16, 1, 1),
                "layer2": _stage(64, 32, 2, 2),
                "layer3": _stage(128, 64, 4, 2),
                "layer4": _stage(256, 128, 8, 2),
            }
        )
        stem = nn.Sequential(nn.BatchNorm2d(1, affine=False), *_unit(1, 16, 3))
        self.down = nn.ModuleDict({"stem": stem, "down": stages})
        self.DN = nn.ModuleDict({f"X{level}": ExternalAttention(32 * 2**level) for level in range(1, 5)})
        self.up = nn.ModuleDict(
            {f"up{step}": nn.Sequential(*_unit(1024 // 2**step, 512 // 2**step, 1)) for step in range(1, 4)}
        )
        self.headSeg = nn.ModuleDict({"head": nn.Sequential(*_unit(64, 16, 3), nn.Conv2d(16, 1, 1))})
        self._initialise(stages, self.DN)

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """The logits at full size."""
        x = self.down["stem"](image)
        skips = []
        stages = self.down["down"]
        assert isinstance(stages, nn.ModuleDict)
        for stage, attention in zip(stages.values(), self.DN.values(), strict=True):
            x = stage(x)
            skips.append(attention(x))
        deep = skips.pop()
        for up in self.up.values():
            deep = skips.pop() + _enlarged(up(deep))
        return {"out": self.headSeg["head"](deep)}

    @staticmethod
    def _initialise(*parts: nn.Module) -> None:
        """Convolutions of encoder and attention as the authors draw them: normal, by the kernels' size and number."""
        for part in parts:
            for module in part.modules():
                if isinstance(module, (nn.Conv1d, nn.Conv2d)):
                    spread = (2 / (module.kernel_size[0] ** len(module.kernel_size) * module.out_channels)) ** 0.5
                    nn.init.normal_(module.weight, 0, spread)
