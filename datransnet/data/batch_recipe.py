"""How images are shown to a network in training."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le


@dataclass(frozen=True)
class BatchRecipe:
    """What decides the batches of an epoch, beside the images and a seed.

    Attributes:
        batch_size: images a step.
        view: ``resize`` shows whole images at size², as the paper; ``crop`` shows windows at the image's own scale and
            predicts whole images.
        size: height and width of a training image, in pixels.
        target_share: share of windows that are placed on a target, in images that have one (``crop`` only).
        zoom: windows are cut at size times a random factor between 1/zoom and zoom, then resized to size; 1 turns it
            off (``crop`` only).
        paste: share of training images that get one more target, copied from another image.
        intensity: random contrast between 1/(1 + intensity) and 1 + intensity, and brightness up to ± intensity / 4.
        augment: random flips and quarter turns.
        normalise: ``dataset`` subtracts the training images' mean and divides by their deviation, as most published
            recipes do; ``none`` leaves images in [0, 1], as the paper.
    """

    batch_size: Annotated[int, Ge(1), Le(4096)] = 4
    view: Literal["resize", "crop"] = "resize"
    size: Annotated[int, Ge(32), Le(4096)] = 256
    target_share: Annotated[float, Ge(0), Le(1)] = 0.0
    zoom: Annotated[float, Ge(1), Le(4)] = 1.0
    paste: Annotated[float, Ge(0), Le(1)] = 0.0
    intensity: Annotated[float, Ge(0), Le(2)] = 0.0
    augment: bool = False
    normalise: Literal["none", "dataset"] = "none"
