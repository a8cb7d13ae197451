"""The encoder's residual block.

``y = LeakyReLU(BN(conv3×3(LeakyReLU(BN(conv3×3(x))))) + shortcut(x))``; B×C_in×H×W → B×C_out×H×W.
The shortcut is the identity, or a 1×1 convolution and a batch norm where the channel count changes.
"""

from torch import Tensor, nn

from datransnet.layers.conv_norm import conv_norm


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
        self.shortcut: nn.Identity | nn.Sequential = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """B×C_in×H×W → B×C_out×H×W."""
        inner = self.activation(conv_norm(self.conv1, self.bn1, x))
        out: Tensor = self.activation(conv_norm(self.conv2, self.bn2, inner) + self._passed(x))
        return out

    def _passed(self, x: Tensor) -> Tensor:
        if isinstance(self.shortcut, nn.Identity):
            return x
        conv, norm = self.shortcut
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        return conv_norm(conv, norm, x)
