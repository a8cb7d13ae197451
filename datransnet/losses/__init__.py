"""Losses on logits, by name. Importing a file registers what it defines."""

from datransnet.losses.overlap import bce, dice, soft_iou, soft_iou_bce, soft_iou_image
from datransnet.losses.registry import LOSSES, Loss
from datransnet.losses.scale_location import sls

__all__ = ["LOSSES", "Loss", "bce", "dice", "sls", "soft_iou", "soft_iou_bce", "soft_iou_image"]
