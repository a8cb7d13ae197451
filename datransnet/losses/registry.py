"""Losses by name."""

from collections.abc import Callable

from torch import Tensor

from datransnet.registry import Registry

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits B×1×H×W, mask B×1×H×W in {0, 1}) → scalar, smaller is better."""

LOSSES: Registry[Loss] = Registry("loss")
