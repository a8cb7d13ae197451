"""The residual block of DNA-Net (arXiv 2106.00487) and MSHNet: channel and spatial attention before the sum."""

import torch
from torch import Tensor, nn

from datransnet.layers.conv_norm import conv_norm
from datransnet.layers.residual import ResidualBlock


class ChannelAttention(nn.Module):
    """``x · σ(f(mean(x)) + f(max(x)))`` with a shared f through a sixteenth of the channels; B×C×H×W → B×C×H×W."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        mean = self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu())
        most = self.fc2(self.fc1(x.amax((2, 3), keepdim=True)).relu())
        return x * torch.sigmoid(mean + most)


class SpatialAttention(nn.Module):
    """``x · σ(conv7×7([mean, max over channels]))``; B×C×H×W → B×C×H×W."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.conv1(both))


class AttentiveResidualBlock(ResidualBlock):
    """A residual block with ReLU, attended before the shortcut is added; B×C_in×H×W → B×C_out×H×W."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, slope=0)
        self.ca = ChannelAttention(out_channels)
        self.sa = SpatialAttention()

    def forward(self, x: Tensor) -> Tensor:
        """B×C_in×H×W → B×C_out×H×W."""
        inner = self.activation(conv_norm(self.conv1, self.bn1, x))
        attended = self.sa(self.ca(conv_norm(self.conv2, self.bn2, inner)))
        out: Tensor = self.activation(attended + self.passed(x))
        return out


def attentive_stage(in_channels: int, out_channels: int, blocks: int = 2) -> nn.Sequential:
    """Blocks of which the first changes the channels."""
    later = (AttentiveResidualBlock(out_channels, out_channels) for _ in range(blocks - 1))
    return nn.Sequential(AttentiveResidualBlock(in_channels, out_channels), *later)
