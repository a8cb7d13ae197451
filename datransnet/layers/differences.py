"""Differences of a pixel and its neighbours in eight directions, as RDIAN takes them."""

import torch.nn.functional as F
from torch import Tensor


def opposite_products(image: Tensor, distance: int = 2) -> Tensor:
    """The sum over four lines through a pixel of ``(x(p) − x(p + δ)) (x(p) − x(p − δ))``; B×1×H×W → B×1×H×W.

    Large where a pixel stands out on both sides. Outside of the image is 0, so that borders respond to the brightness
    itself, as in the published network. RDIAN writes the eight differences as 5×5 convolutions with fixed kernels, of
    25 products each; here each is one subtraction of shifted views.

    >>> opposite_products(torch.tensor([[[[0.0, 0.0, 0.5, 0.0, 0.0]]]])).max().item()
    1.0
    """
    height, width = image.shape[-2:]
    padded = F.pad(image, [distance] * 4)

    def difference(row: int, column: int) -> Tensor:
        top, left = distance * (1 + row), distance * (1 + column)
        return image - padded[..., top : top + height, left : left + width]

    lines = ((-1, -1), (-1, 0), (-1, 1), (0, 1))
    products = [difference(row, column) * difference(-row, -column) for row, column in lines]
    return products[0] + products[1] + products[2] + products[3]
