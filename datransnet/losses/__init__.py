"""Losses on logits, by name. Importing a file registers what it defines."""

from datransnet.losses.overlap import bce, dice, soft_iou, soft_iou_bce
from datransnet.losses.registry import LOSSES, Loss

__all__ = ["LOSSES", "Loss", "bce", "dice", "soft_iou", "soft_iou_bce"]
