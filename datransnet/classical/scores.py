"""Scores of images by a method without training, several images at once on all cores."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from datransnet.classical.registry import METHODS, Grey, Method, scaled

Eight = npt.NDArray[np.uint8]
"""An image H×W of grey levels."""


def classical_scores(method: str, images: Sequence[Eight]) -> Iterator[Grey]:
    """Score maps H×W in [0, 1] of grey images in 0 … 255, each scaled by its own maximum, in their order.

    Each core has a process with one thread, that ends with the last image.

    Raises:
        ParameterError: if there is no such method.
    """
    respond = METHODS[method]
    with ProcessPoolExecutor(initializer=_one_thread, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(_scores, respond), images)


def _one_thread() -> None:
    """Each process has a core, so that linear algebra must not ask for all of them."""
    threadpool_limits(1)


def _scores(respond: Method, image: Eight) -> Grey:
    return scaled(respond(image.astype(np.float64)))
