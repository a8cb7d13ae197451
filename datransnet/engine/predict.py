"""Score maps of whole images."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from datransnet.data.dataset import Images
from datransnet.data.images import Luminance
from datransnet.data.loader import shrink, to_input
from datransnet.data.transforms import resize_image
from datransnet.engine.recipe import Recipe
from datransnet.metrics.counts import Mask
from datransnet.metrics.score import Score, score
from datransnet.metrics.signals import Signals, SignalSums
from datransnet.models.registry import Network

ScoreMap = npt.NDArray[np.float64]
"""Scores H×W in [0, 1]; in single precision, all above a logit of 17 would be 1."""

TILE = 1024
"""Images with a longer side are predicted in tiles of this many pixels."""
OVERLAP = 256
"""Pixels that neighbouring tiles share."""
TOGETHER = 16
"""Neighbouring images of one size that an accelerator is given at once; a CPU is as fast with one."""


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin that cover a length and overlap by at least ``overlap``, evenly spaced.

    >>> _starts(100, 128, 32), _starts(2000, 1024, 256)
    ([0], [0, 488, 976])
    """
    if length <= tile:
        return [0]
    number = 1 + -(-(length - tile) // (tile - overlap))
    return [round(index * (length - tile) / (number - 1)) for index in range(number)]


def _taper(length: int, overlap: int) -> Tensor:
    """Weights of a tile's pixels along one axis: rising linearly over the overlap at both ends, 1 between."""
    rising = (torch.arange(length) + 0.5) / overlap
    return torch.minimum(rising, rising.flip(0)).clamp(max=1)


def tiles(shape: tuple[int, int], recipe: Recipe) -> int:
    """How many times a network is asked for the scores of an image H×W: once, or once a tile."""
    if recipe.view == "resize" or max(shape) <= TILE:
        return 1
    return len(_starts(shape[0], TILE, OVERLAP)) * len(_starts(shape[1], TILE, OVERLAP))


def images_at_once(shape: tuple[int, int], recipe: Recipe) -> int:
    """How many images H×W an accelerator is given at once: at most `TOGETHER`, and no more pixels than a training step.

    >>> [images_at_once((side, side), Recipe(view="crop", size=256, batch_size=8)) for side in (128, 256, 512, 2048)]
    [16, 8, 2, 1]
    """
    height, width = (recipe.size, recipe.size) if recipe.view == "resize" else shape
    return max(1, min(TOGETHER, recipe.batch_size * recipe.size**2 // (height * width)))


def tiled(
    model: nn.Module, image: Tensor, tile: int = TILE, overlap: int = OVERLAP, each: Callable[[], object] = bool
) -> Tensor:
    """Logits of B×1×H×W of any size, predicted in tiles where a side is longer than ``tile``.

    In an overlap the tiles' logits are averaged with weights that fall to zero at a tile's edge, so there is no seam.
    A network that sees its whole input at once, as attention does, sees a tile here. ``each`` is called after a tile.
    """
    height, width = image.shape[-2:]
    if max(height, width) <= tile:
        whole: Tensor = model(image)
        each()
        return whole
    total, weight = torch.zeros_like(image), torch.zeros_like(image)
    for top in _starts(height, tile, overlap):
        for left in _starts(width, tile, overlap):
            part = image[..., top : top + tile, left : left + tile]
            rows, columns = (_taper(length, overlap).to(image) for length in part.shape[-2:])
            share = rows[:, None] * columns
            total[..., top : top + tile, left : left + tile] += share * model(part)
            weight[..., top : top + tile, left : left + tile] += share
            each()
    return total / weight


def predict_image(
    model: Network, image: Luminance, recipe: Recipe, device: str = "cpu", each: Callable[[], object] = bool
) -> ScoreMap:
    """Scores in [0, 1] of an image H×W at its own size; the network is in evaluation mode, on ``device``.

    On a CPU most networks are quicker once they are `ready`.
    Under ``view="resize"`` the network sees the image at the recipe's size and its scores are resized back; under
    ``"crop"`` it sees the image whole, or in tiles (`tiled`). ``each`` is called `tiles` times on the way.
    """
    return _predict_equal(model, [image], recipe, device, each)[0]


@torch.inference_mode()
def _predict_equal(
    model: Network, images: Sequence[Luminance], recipe: Recipe, device: str, each: Callable[[], object] = bool
) -> list[ScoreMap]:
    """Scores of images of one size H×W."""
    if recipe.view == "resize":
        logits = model(to_input(np.stack([shrink(image, recipe.size) for image in images]), device))
        scores = resize_image(logits.cpu().double().sigmoid(), *images[0].shape)
        each()
    else:
        scores = tiled(model, to_input(np.stack(images), device), each=each).cpu().double().sigmoid()
    return list(scores[:, 0].clamp(0, 1).numpy())


def predict(model: Network, data: Images, recipe: Recipe, device: str = "cpu") -> Iterator[ScoreMap]:
    """Scores of every image, see `predict_image`; the network may be in training, and is left in evaluation mode."""
    model.to(device).eval()
    for shape, group in groupby(data.images, key=lambda image: image.shape):
        equal, at_once = list(group), 1 if device == "cpu" else images_at_once(shape, recipe)
        for start in range(0, len(equal), at_once):
            yield from _predict_equal(model, equal[start : start + at_once], recipe, device)


def score_images(model: Network, data: Images, recipe: Recipe, device: str = "cpu") -> tuple[Score, Signals]:
    """Metrics of a network on some images, convention ``basicirstd``, and what moves before they do."""
    sums = SignalSums()

    def pairs() -> Iterator[tuple[ScoreMap, Mask]]:
        for scores, mask in zip(predict(model, data, recipe, device), data.masks, strict=True):
            sums.add(scores, mask)
            yield scores, mask

    return score(pairs()), sums.signals()
