"""What is done to batches of images and masks, on whatever device they are."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_image(batch: Tensor, height: int, width: int) -> Tensor:
    """B×1×H×W → B×1×height×width, bilinear."""
    return F.interpolate(batch, size=(height, width), mode="bilinear", align_corners=False)


def resize_mask(batch: Tensor, height: int, width: int) -> Tensor:
    """B×1×H×W → B×1×height×width, nearest."""
    return F.interpolate(batch, size=(height, width), mode="nearest-exact")


def resample(batch: Tensor, windows: Tensor, size: int, mode: str) -> Tensor:
    """The upper left window of each image, resized: B×C×M×M → B×C×size×size.

    Equal to `resize_image` (``mode="bilinear"``) or `resize_mask` (``"nearest"``) of each window, in one call for
    windows of all sizes.

    Args:
        batch: images.
        windows: B, the height and width of each window, at most M.
        size: of the result.
        mode: ``bilinear`` or ``nearest``.
    """
    windows = windows.to(batch.device, torch.float32, non_blocking=True).unsqueeze(1)
    centres = (torch.arange(size, device=batch.device) + 0.5) * (windows / size) - 0.5
    inside = torch.minimum(centres.clamp_min(0), windows - 1)
    scaled = (2 * inside + 1) / batch.shape[-1] - 1
    grid = torch.stack(torch.broadcast_tensors(scaled[:, None, :], scaled[:, :, None]), dim=-1)
    return F.grid_sample(batch, grid, mode=mode, align_corners=False)


def vary(batch: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """Change the contrast and brightness of each image of a batch, then clip it to [0, 1]; the shape stays B×1×H×W.

    Args:
        batch: images B×1×H×W in [0, 1].
        contrast: B factors, by which each pixel's difference from its image's mean is multiplied.
        brightness: B values, which are added to all pixels of an image.
    """
    factor, summand = (
        item.to(batch.device, batch.dtype, non_blocking=True).view(-1, 1, 1, 1) for item in (contrast, brightness)
    )
    mean = batch.mean(dim=(1, 2, 3), keepdim=True)
    return ((batch - mean) * factor + mean + summand).clamp(0, 1)
