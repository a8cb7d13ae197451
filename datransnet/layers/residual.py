"""The encoder's residual block.

``y = LeakyReLU(BN(conv3×3(LeakyReLU(BN(conv3×3(x))))) + shortcut(x))``; B×C_in×H×W → B×C_out×H×W.
The shortcut is the identity, or a 1×1 convolution and a batch norm where the channel count changes.
"""

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch norm around a shortcut.

    Parity: the convolutions keep their bias although a batch norm follows (released checkpoints hold it).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.activation = nn.LeakyReLU(0.01, inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """B×C_in×H×W → B×C_out×H×W."""
        inner = self.activation(self.bn1(self.conv1(x)))
        out: Tensor = self.activation(self.bn2(self.conv2(inner)) + self.shortcut(x))
        return out
