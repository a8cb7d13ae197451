"""What networks share whose poolings divide only some image sizes, or that have side outputs in training."""

from torch import Tensor

from datransnet.layers.padding import reflect_to
from datransnet.models.registry import Network


class PaddedNetwork(Network):
    """A network of `heads` that runs on any size: images are reflect-padded right and below, logits cropped.

    Attributes:
        multiple: what height and width must be multiples of inside.
    """

    multiple: int = 1

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """Images whose size is a multiple of `multiple` → logits by name, ``out`` first.

        Args:
            image: B×1×H×W.
            sides: compute the side outputs of training, too.
        """
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Images B×1×H×W → logits B×1×H×W."""
        return _cropped(self.heads(self._padded(image), sides=False)["out"], image)

    def outputs(self, image: Tensor) -> dict[str, Tensor]:
        """Images B×1×H×W → logits by name; see `Network.outputs`."""
        padded = self._padded(image)
        return {
            name: _cropped(logits, image, padded.shape[-1] // logits.shape[-1])
            for name, logits in self.heads(padded, sides=True).items()
        }

    def _padded(self, image: Tensor) -> Tensor:
        height, width = (-(-size // self.multiple) * self.multiple for size in image.shape[-2:])
        return reflect_to(image, height, width)


def _cropped(logits: Tensor, image: Tensor, step: int = 1) -> Tensor:
    """The part of logits, `step` pixels apart, that lies on the image."""
    height, width = (-(-size // step) for size in image.shape[-2:])
    return logits[..., :height, :width]
