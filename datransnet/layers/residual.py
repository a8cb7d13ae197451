"""The residual block of DATransNet, ResUNet and SCTransNet.

``y = LeakyReLU(BN(conv3×3(LeakyReLU(BN(conv3×3(x))))) + shortcut(x))``; B×C_in×H×W → B×C_out×H×W.
The shortcut is the identity, or a 1×1 convolution and a batch norm where the channel count changes.
"""

from torch import Tensor, nn

from datransnet.layers.conv_norm import conv_norm


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch norm around a shortcut.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        slope: of the activation below 0; with 0 it is a ReLU.

    Parity: the convolutions keep their bias although a batch norm follows (released checkpoints hold it).
    """

    def __init__(self, in_channels: int, out_channels: int, slope: float = 0.01) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.activation = nn.LeakyReLU(slope, inplace=True)
        self.shortcut: nn.Identity | nn.Sequential = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """B×C_in×H×W → B×C_out×H×W."""
        inner = self.activation(conv_norm(self.conv1, self.bn1, x))
        out: Tensor = self.activation(conv_norm(self.conv2, self.bn2, inner) + self.passed(x))
        return out

    def passed(self, x: Tensor) -> Tensor:
        """The shortcut; B×C_in×H×W → B×C_out×H×W."""
        if isinstance(self.shortcut, nn.Identity):
            return x
        conv, norm = self.shortcut
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        return conv_norm(conv, norm, x)
