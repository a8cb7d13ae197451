"""Which predicted component detects which target."""

import numpy as np
import numpy.typing as npt

from datransnet.components import Components

DISTANCE = 3.0
"""A target is detected by a component whose centroid is closer than this, in pixels."""


def match(targets: Components, found: Components) -> npt.NDArray[np.int64]:
    """For each target the index of the component that detects it, or -1; (N_targets,).

    Targets are taken in raster order; each takes the **first** still unused component in raster order whose centroid is
    closer than `DISTANCE`, not the nearest one (all released scripts agree on that).
    """
    owner = np.full(len(targets), -1, dtype=np.int64)
    free = np.ones(len(found), dtype=bool)
    for index, centroid in enumerate(targets.centroids):
        distances = np.sqrt(((found.centroids - centroid) ** 2).sum(axis=1))
        near = np.flatnonzero(free & (distances < DISTANCE))
        if near.size:
            owner[index] = near[0]
            free[near[0]] = False
    return owner
