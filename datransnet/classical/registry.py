"""Methods without training, by name."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from datransnet.registry import Registry

Grey = npt.NDArray[np.float64]
"""An image H×W in 0 … 255, or a map of how much each of its pixels stands out: at least 0, of any scale."""

Method = Callable[[Grey], Grey]

METHODS: Registry[Method] = Registry("method")


def scaled(response: Grey) -> Grey:
    """A map divided by its own maximum: scores in [0, 1], as most tables threshold these methods.

    So something is found in every image, also where there is nothing.

    >>> scaled(np.array([[0.0, 3.0], [6.0, -1.0]])).tolist()
    [[0.0, 0.5], [1.0, 0.0]]
    """
    positive = np.maximum(np.nan_to_num(response, posinf=0.0), 0.0)
    most = positive.max(initial=0.0)
    return positive / most if most > 0 else positive
