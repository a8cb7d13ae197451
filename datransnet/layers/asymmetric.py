"""Asymmetric contextual modulation (ACM, arXiv 2009.14530, equations 2 to 5): two levels weigh each other."""

from torch import Tensor, nn

from datransnet.layers.resnet import FAST


class AsymmetricModulation(nn.Module):
    """``post(2·low·topdown(high) + 2·high·bottomup(low))``; both B×C×H×W → B×C×H×W.

    ``topdown`` is a gate of each channel from the high level's mean, ``bottomup`` one of each pixel from the low level.
    A norm of single pixels needs at least two images in a batch of training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.topdown = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_gate(channels))
        self.bottomup = nn.Sequential(*_gate(channels))
        self.post = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels, momentum=FAST), nn.ReLU()
        )

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Two B×C×H×W → B×C×H×W."""
        out: Tensor = self.post(2 * low * self.topdown(high) + 2 * high * self.bottomup(low))
        return out


def _gate(channels: int) -> list[nn.Module]:
    """Channels → a quarter of them → weights in (0, 1)."""
    return [
        nn.Conv2d(channels, channels // 4, 1),
        nn.BatchNorm2d(channels // 4, momentum=FAST),
        nn.ReLU(),
        nn.Conv2d(channels // 4, channels, 1),
        nn.BatchNorm2d(channels, momentum=FAST),
        nn.Sigmoid(),
    ]
