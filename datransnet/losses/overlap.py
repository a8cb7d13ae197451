"""Overlap losses, most pooled over the whole batch because a target covers few pixels of one image; cross-entropy."""

import torch.nn.functional as F
from torch import Tensor

from datransnet.losses.registry import LOSSES


@LOSSES.register("soft_iou")
def soft_iou(logits: Tensor, mask: Tensor) -> Tensor:
    """``1 − (Σpt + 1) / (Σp + Σt − Σpt + 1)`` over the batch (the paper's loss; smooth 1). In [0, 1].

    >>> soft_iou(torch.full((1, 1, 2, 2), 100.0), torch.ones(1, 1, 2, 2)).item()
    0.0
    """
    p = logits.sigmoid()
    overlap = (p * mask).sum()
    return 1 - (overlap + 1) / (p.sum() + mask.sum() - overlap + 1)


@LOSSES.register("soft_iou_image")
def soft_iou_image(logits: Tensor, mask: Tensor) -> Tensor:
    """`soft_iou` of each image, averaged: small targets count like large ones (AGPCNet, RPCANet). In [0, 1]."""
    p = logits.sigmoid()
    overlap = (p * mask).sum((1, 2, 3))
    return (1 - (overlap + 1) / (p.sum((1, 2, 3)) + mask.sum((1, 2, 3)) - overlap + 1)).mean()


@LOSSES.register("dice")
def dice(logits: Tensor, mask: Tensor) -> Tensor:
    """``1 − (2Σpt + 1) / (Σp + Σt + 1)`` over the batch (smooth 1). In [0, 1]."""
    p = logits.sigmoid()
    return 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)


@LOSSES.register("bce")
def bce(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy, mean over pixels, in nats."""
    return F.binary_cross_entropy_with_logits(logits, mask)


@LOSSES.register("soft_iou_bce")
def soft_iou_bce(logits: Tensor, mask: Tensor) -> Tensor:
    """`soft_iou` plus `bce`: the overlap where there is some, a gradient everywhere else."""
    return soft_iou(logits, mask) + bce(logits, mask)
