"""The head of ACM, ALCNet, RDIAN and L2SKNet-FPN: a quarter of the channels, then one logit a pixel."""

from torch import Tensor, nn


class NarrowHead(nn.Module):
    """conv 3×3, BN, ReLU, dropout 0.1, conv 1×1; B×C×H×W → B×1×H×W.

    Args:
        channels: C.
        momentum: of the norm.
    """

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        inner = channels // 4
        self.block = nn.Sequential(
            nn.Conv2d(channels, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner, momentum=momentum),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(inner, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×1×H×W."""
        out: Tensor = self.block(x)
        return out
