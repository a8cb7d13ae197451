"""What training calls: a network's outputs by name."""

from torch import Tensor, nn

from datransnet.models.registry import Network


class AllOutputs(nn.Module):
    """A network as training sees it: a module, since processes that train together meet in its calls.

    Args:
        network: whose weights are trained.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Images B×1×H×W → logits by name, ``out`` first."""
        return self.network.outputs(image)
