"""The training loop, as a generator: it yields one dict of metrics an epoch and knows nobody who listens.

Resuming equals not stopping, bit for bit on a CPU: the order of images, crops and flips of an epoch comes from a seed
of that epoch, the learning rate from the progress alone, so the network and the optimiser are all the state there is.
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datransnet.data.dataset import Images
from datransnet.data.transforms import batches
from datransnet.engine.checkpoint import load_checkpoint, save_checkpoint
from datransnet.engine.predict import score_images
from datransnet.engine.recipe import Recipe
from datransnet.engine.schedules import learning_rate
from datransnet.errors import TrainingError
from datransnet.losses import LOSSES
from datransnet.models.registry import Network
from datransnet.seeding import derive_seed

Epoch = dict[str, float]
"""Metrics of an epoch: epoch (from 1), loss, lr, seconds; after a validation also val_iou, val_niou, val_pd, val_fa;
best_iou and best_epoch so far."""


@dataclass
class Best:
    """The epoch with the highest validation IoU, the earliest of equals."""

    iou: float
    epoch: int
    weights: dict[str, torch.Tensor]


def fit(
    model: Network,
    train: Images,
    validation: Images,
    recipe: Recipe,
    *,
    seed: int,
    checkpoint: Path | None = None,
    device: str = "cpu",
) -> Iterator[Epoch]:
    """Train a network; at the end it holds the weights of its best epoch on the validation part.

    Args:
        model: initialised by the caller; trained in place.
        train: images to learn from.
        validation: images that choose the epoch.
        recipe: how.
        seed: of order and augmentation.
        checkpoint: where the state is kept after every epoch. If it exists, training goes on from there, and the
            epochs before are yielded again first.
        device: as torch names it.

    Yields:
        The metrics of each epoch.

    Raises:
        TrainingError: if the loss is not finite; the last checkpoint is that of the epoch before.
        DataError: if the checkpoint is damaged.
    """
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    best = Best(-1.0, 0, {})
    history: list[Epoch] = []
    if checkpoint and (state := load_checkpoint(checkpoint)):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        best, history = Best(**state["best"]), state["history"]
        yield from (dict(metrics) for metrics in history)
    for epoch in range(len(history) + 1, recipe.epochs + 1):
        started = time.perf_counter()
        metrics: Epoch = {"epoch": epoch, **_train_epoch(model, optimizer, train, recipe, seed, epoch, device)}
        if epoch % recipe.validate_every == 0 or epoch == recipe.epochs:
            found = score_images(model, validation, recipe, device)
            metrics |= {"val_iou": found.iou, "val_niou": found.niou, "val_pd": found.pd, "val_fa": found.fa}
            if found.iou > best.iou:
                best = Best(found.iou, epoch, copy.deepcopy(model.state_dict()))
        metrics |= {"best_iou": max(best.iou, 0.0), "best_epoch": best.epoch, "seconds": time.perf_counter() - started}
        history.append(metrics)
        if checkpoint:
            save_checkpoint(checkpoint, _state(model, optimizer, best, history))
        yield dict(metrics)
    if best.weights:
        model.load_state_dict(best.weights)


def _train_epoch(
    model: Network,
    optimizer: torch.optim.Optimizer,
    train: Images,
    recipe: Recipe,
    seed: int,
    epoch: int,
    device: str,
) -> dict[str, float]:
    """One pass over the training part; mean loss over its images and the last learning rate."""
    model.train()
    loss_function = LOSSES[recipe.loss]
    rng = np.random.default_rng(derive_seed(seed, "order", epoch))
    steps = math.ceil(len(train) / recipe.batch_size)
    total, seen, rate = 0.0, 0, recipe.lr
    epoch_batches = batches(
        train,
        rng,
        batch_size=recipe.batch_size,
        view=recipe.view,
        size=recipe.size,
        target_share=recipe.target_share,
        zoom=recipe.zoom,
        augment=recipe.augment,
    )
    for step, (images, masks) in enumerate(epoch_batches):
        rate = learning_rate(recipe, ((epoch - 1) * steps + step + 1) / (recipe.epochs * steps + 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_function(model(images.to(device)), masks.to(device))
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is {value} at step {step + 1} of epoch {epoch}; the state before this epoch is kept. "
                "Try a lower lr."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total, seen = total + value * len(images), seen + len(images)
    return {"loss": total / seen, "lr": rate}


def _state(model: Network, optimizer: torch.optim.Optimizer, best: Best, history: list[Epoch]) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": vars(best), "history": history}
