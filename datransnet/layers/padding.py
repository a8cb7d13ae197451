"""Padding of images whose size a network's poolings do not divide."""

import torch
from torch import Tensor


def reflect_to(image: Tensor, height: int, width: int) -> Tensor:
    """Reflect-pad B×C×H×W at the bottom and right to B×C×height×width, also where the padding exceeds the image.

    >>> reflect_to(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 1, 7).flatten().tolist()
    [1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0]
    """
    for dim, size in ((-2, height), (-1, width)):
        length = image.shape[dim]
        if size > length:
            period = max(1, 2 * (length - 1))
            phase = torch.arange(size, device=image.device) % period
            image = image.index_select(dim, torch.minimum(phase, period - phase))
    return image
