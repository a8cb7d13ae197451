"""ResNet's basic block and the strided stem before it, as ACM and its relatives use them.

The batch norms of stem and shortcuts have momentum 0.9 (MXNet's 0.1 of the *old* value would be PyTorch's 0.9; the port
kept the number), those inside the blocks PyTorch's 0.1. It shows in evaluation after few steps, so it stays.
"""

from torch import Tensor, nn

from datransnet.layers.conv_norm import conv_norm

FAST = 0.9
"""Momentum of the norms outside of the blocks: nearly the last batch alone."""


class BasicBlock(nn.Module):
    """``y = ReLU(BN(conv3×3(ReLU(BN(conv3×3(x))))) + shortcut(x))``; B×C_in×H×W → B×C_out×(H/stride)×(W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels, momentum=FAST)
            )

    def forward(self, x: Tensor) -> Tensor:
        """B×C_in×H×W → B×C_out×(H/stride)×(W/stride)."""
        inner = conv_norm(self.conv1, self.bn1, x).relu()
        passed = x if self.downsample is None else self.downsample(x)
        return (conv_norm(self.conv2, self.bn2, inner) + passed).relu()


def stage(in_channels: int, out_channels: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """Basic blocks, of which the first changes channels and size."""
    later = (BasicBlock(out_channels, out_channels) for _ in range(blocks - 1))
    return nn.Sequential(BasicBlock(in_channels, out_channels, stride), *later)


def stem(channels: int) -> nn.Sequential:
    """Images B×1×H×W → B×(2·channels)×(H/4)×(W/4): a norm of the image, three convolutions, and a pooling."""
    half, full = channels, 2 * channels
    return nn.Sequential(
        nn.BatchNorm2d(1, momentum=FAST),
        nn.Conv2d(1, half, 3, 2, 1, bias=False),
        nn.BatchNorm2d(half, momentum=FAST),
        nn.ReLU(),
        nn.Conv2d(half, half, 3, padding=1, bias=False),
        nn.BatchNorm2d(half, momentum=FAST),
        nn.ReLU(),
        nn.Conv2d(half, full, 3, padding=1, bias=False),
        nn.BatchNorm2d(full, momentum=FAST),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    )
