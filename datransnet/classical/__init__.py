"""Methods without training: what stands out from its surroundings, or from a background of low rank."""

from datransnet.classical.filters import (
    local_contrast,
    max_median,
    patch_contrast,
    three_layer_contrast,
    top_hat,
    weighted_contrast,
)
from datransnet.classical.low_rank import infrared_patch_image, nonconvex_rank, partial_tensor_rank
from datransnet.classical.registry import METHODS, Grey, Method, scaled
from datransnet.classical.scores import classical_scores

__all__ = [
    "METHODS",
    "Grey",
    "Method",
    "classical_scores",
    "infrared_patch_image",
    "local_contrast",
    "max_median",
    "nonconvex_rank",
    "partial_tensor_rank",
    "patch_contrast",
    "scaled",
    "three_layer_contrast",
    "top_hat",
    "weighted_contrast",
]
