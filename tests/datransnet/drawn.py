"""Weights in the shape of a published checkpoint, made from each key's number alone."""

from collections.abc import Sequence

import numpy as np
import torch


def drawn_weights(seed: int, keys: Sequence[tuple[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
    """Weights for sorted keys with their shapes, in double precision: those of the golden outputs."""
    weights = {}
    for number, (key, shape) in enumerate(keys):
        z = np.random.default_rng(seed + number).standard_normal(tuple(shape))
        if key.endswith("num_batches_tracked"):
            z = np.zeros(shape, dtype=np.int64)
        elif key.endswith("running_mean"):
            z = 0.1 * z
        elif key.endswith("running_var"):
            z = 1 + 0.5 * np.abs(z)
        elif len(shape) > 1:
            z = 1.5 * z / np.sqrt(np.prod(shape[1:]))
        else:
            z = 1 + 0.1 * z if key.endswith(".weight") else 0.1 * z
        weights[key] = torch.as_tensor(z)
    return weights
