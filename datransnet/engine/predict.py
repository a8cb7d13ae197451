"""Score maps of whole images."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from datransnet.data.dataset import Images
from datransnet.data.transforms import resize_image, to_input
from datransnet.engine.recipe import Recipe
from datransnet.metrics.score import Score, score
from datransnet.models.registry import Network

ScoreMap = npt.NDArray[np.float32]


@torch.inference_mode()
def predict(model: Network, data: Images, recipe: Recipe, device: str = "cpu") -> Iterator[ScoreMap]:
    """Scores in [0, 1] of every image at its own size, H×W.

    Under ``view="resize"`` the network sees the image at the recipe's size and its scores are resized back; under
    ``"crop"`` it sees the image whole.
    """
    model.to(device).eval()
    for image in data.images:
        batch = to_input(image).unsqueeze(0).to(device)
        if recipe.view == "resize":
            batch = resize_image(batch, recipe.size, recipe.size)
        scores = model(batch).float().sigmoid()
        if recipe.view == "resize":
            scores = resize_image(scores, *image.shape)
        yield scores[0, 0].clamp(0, 1).cpu().numpy()


def score_images(model: Network, data: Images, recipe: Recipe, device: str = "cpu") -> Score:
    """Metrics of a network on some images, convention ``basicirstd``."""
    return score(zip(predict(model, data, recipe, device), data.masks, strict=True))
