"""Deep supervision: the loss of a network's outputs of all levels."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from datransnet.losses.registry import Loss


def supervised(loss: Loss, outputs: Mapping[str, Tensor], mask: Tensor, side_weight: float) -> Tensor:
    """The weighted mean of a loss over outputs; the first has weight 1, each other one `side_weight`.

    A coarser output is compared with the mask at its size, where a pixel is target if any of those that it stands for
    is.

    Args:
        loss: of one output.
        outputs: logits B×1×⌈H/s⌉×⌈W/s⌉ by name.
        mask: B×1×H×W in {0, 1}.
        side_weight: at least 0; 1 is the mean over all outputs.

    >>> from datransnet.losses import bce
    >>> mask = torch.ones(1, 1, 4, 4)
    >>> outputs = {"out": torch.zeros(1, 1, 4, 4), "coarse": torch.full((1, 1, 2, 2), 100.0)}
    >>> supervised(bce, outputs, mask, side_weight=1).item() == supervised(bce, outputs, mask, 0).item() / 2
    True
    """
    main, *sides = (loss(logits, _at_size(mask, logits)) for logits in outputs.values())
    if not sides:
        return main
    total = main
    for side in sides:
        total = total + side_weight * side
    return total / (1 + side_weight * len(sides))


def _at_size(mask: Tensor, logits: Tensor) -> Tensor:
    if logits.shape == mask.shape:
        return mask
    step = -(-mask.shape[-1] // logits.shape[-1])
    return F.max_pool2d(mask, step, ceil_mode=True)
