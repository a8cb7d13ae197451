"""The scale- and location-sensitive loss of MSHNet (Liu et al., CVPR 2024, arXiv 2403.19366)."""

import math

import torch
from torch import Tensor

from datransnet.losses.registry import LOSSES

TINY = 1e-8


@LOSSES.register("sls")
def sls(logits: Tensor, mask: Tensor) -> Tensor:
    """``1 − mean(a·IoU) + location``, image by image and without smoothing.

    ``a`` is below 1 where prediction and target differ in area, so that their IoU counts less. ``location`` compares
    where they are in polar coordinates around the image's corner. In the authors' training the first six epochs have
    ``1 − mean(IoU)`` alone; here it is whole from the first step. Where prediction and target both vanish, theirs is
    not a number, and this one 1 for that image.
    """
    p = logits.sigmoid()
    predicted, target = p.sum((1, 2, 3)), mask.sum((1, 2, 3))
    overlap = (p * mask).sum((1, 2, 3))
    smallest = torch.finfo(p.dtype).tiny
    iou = overlap / (predicted + target - overlap).clamp_min(smallest)
    half = ((predicted - target) / 2).square()
    area = (torch.minimum(predicted, target) + half) / (torch.maximum(predicted, target) + half).clamp_min(smallest)
    return 1 - (area * iou).mean() + location(p, mask)


def location(p: Tensor, mask: Tensor) -> Tensor:
    """How far apart probabilities and mask B×1×H×W lie, averaged over the batch: in distance from the corner and angle.

    A coordinate is the mean over *all* pixels of position times mass, not divided by the mass: so it is no centroid,
    and grows with the area. Published so.
    """
    height, width = p.shape[-2:]
    rows = (torch.arange(height, device=p.device, dtype=p.dtype) / height).view(-1, 1)
    columns = torch.arange(width, device=p.device, dtype=p.dtype) / width

    def polar(mass: Tensor) -> tuple[Tensor, Tensor]:
        x, y = (mass * columns).mean((1, 2, 3)), (mass * rows).mean((1, 2, 3))
        return (x.square() + y.square() + TINY).sqrt(), torch.atan(y / (x + TINY))

    (distance_p, angle_p), (distance_m, angle_m) = polar(p), polar(mask)
    ratio = torch.minimum(distance_p, distance_m) / (torch.maximum(distance_p, distance_m) + TINY)
    return (1 - ratio + 4 / math.pi**2 * (angle_p - angle_m).square()).mean()
