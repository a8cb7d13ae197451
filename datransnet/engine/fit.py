"""The training loop, as a generator: it yields one dict of metrics an epoch and knows nobody who listens.

Resuming equals not stopping, bit for bit on a CPU: whatever is random in an epoch comes from a seed of that epoch, the
learning rate from the progress alone, so weights, their average and the optimiser are all the state there is.
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from datransnet.data.dataset import Images
from datransnet.data.loader import Loader
from datransnet.engine.all_outputs import AllOutputs
from datransnet.engine.checkpoint import load_checkpoint, save_checkpoint
from datransnet.engine.distributed import gathered, is_first, shared, synchronised
from datransnet.engine.predict import score_images
from datransnet.engine.recipe import Recipe
from datransnet.engine.schedules import learning_rate
from datransnet.errors import TrainingError
from datransnet.losses import LOSSES
from datransnet.losses.supervision import supervised
from datransnet.models.normalised import Normalised
from datransnet.models.registry import Network
from datransnet.seeding import derive_seed

Epoch = dict[str, float]
"""Metrics of an epoch: epoch (from 1), loss, lr, seconds; after a validation also val_iou, val_niou, val_pd, val_fa,
val_soft_iou, val_average_precision and val_cross_entropy, and watched_iou where images are watched; best_iou and
best_epoch so far."""


@dataclass
class Best:
    """The epoch with the highest validation IoU, the earliest of equals."""

    iou: float = -1.0
    epoch: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)


class _Training:
    """What a training consists of, and how it is kept in a checkpoint."""

    def __init__(self, model: Network, recipe: Recipe, device: str) -> None:
        self.model, self.recipe, self.device = model.to(device), recipe, device
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True if device != "cpu" else None
        )
        self.average: AveragedModel | None = None
        if recipe.ema:
            decay = get_ema_multi_avg_fn(recipe.ema)
            self.average = AveragedModel(model, multi_avg_fn=decay, use_buffers=True)
        self.best, self.history = Best(), list[Epoch]()
        self.trained = synchronised(AllOutputs(model), device)
        if recipe.compile:
            torch.compiler.reset()  # a process may compile a function eight times, and a worker trains many networks
            self.trained.compile(dynamic=False)  # at most two sizes of batch

    @property
    def judged(self) -> Network:
        """The network that is validated and kept: the average of the weights where there is one."""
        if self.average is None:
            return self.model
        module = self.average.module
        assert isinstance(module, Network)
        return module

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one."""
        if state := load_checkpoint(path):
            self.model.load_state_dict(state["model"])
            for group in state["optimizer"]["param_groups"]:  # it may have been written on another kind of device
                group["fused"] = self.optimizer.defaults["fused"]
            self.optimizer.load_state_dict(state["optimizer"])
            self.best, self.history = Best(**state["best"]), state["history"]
            if self.average is not None:
                self.average.load_state_dict(state["average"])

    def save(self, path: Path) -> None:
        """Write a checkpoint; see `datransnet.engine.checkpoint`."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": vars(self.best),
            "history": self.history,
        }
        if self.average is not None:
            state["average"] = self.average.state_dict()
        save_checkpoint(path, state)

    def step(self) -> None:
        """Move the weights along the gradients added up since the last step."""
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update_parameters(self.model)

    def epoch(self, loader: Loader, seed: int, number: int) -> dict[str, float]:
        """One pass over the training part; mean loss over its images and the last learning rate."""
        recipe = self.recipe
        self.model.train()
        torch.manual_seed(derive_seed(seed, "step", number))  # for networks with dropout and the like
        rng = np.random.default_rng(derive_seed(seed, "order", number))
        steps = math.ceil(len(loader.data) / recipe.batch_size)
        losses, numbers, rate, pending = list[torch.Tensor](), list[int](), recipe.lr, 0
        for step, (images, masks) in enumerate(loader.epoch(rng)):
            rate = learning_rate(recipe, ((number - 1) * steps + step + 1) / (recipe.epochs * steps + 1))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=recipe.precision == "bf16"):
                outputs = self._outputs(shared(self.model, images))
                logits = {name: gathered(part, len(images)).float() for name, part in outputs.items()}
            loss = supervised(LOSSES[recipe.loss], logits, masks, recipe.side_weight)
            losses.append(loss.detach())
            numbers.append(len(images))
            (loss / recipe.accumulate).backward()
            pending += 1
            if pending == recipe.accumulate:
                self.step()
                pending = 0
        if pending:
            self.step()
        return {"loss": _mean_loss(losses, numbers, number), "lr": rate}

    def _outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        try:
            found: dict[str, torch.Tensor] = self.trained(images)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise TrainingError(
                "Batch norm has one value a channel, which has no deviation. Set batch_size to at least 2."
            ) from error
        return found

    def validate(self, validation: Images, number: int) -> dict[str, float]:
        """Metrics on the validation part; remembers the weights if they are the best so far."""
        score, signals = score_images(self.judged, validation, self.recipe, self.device)
        if score.iou > self.best.iou:
            self.best = Best(score.iou, number, copy.deepcopy(self.judged.state_dict()))
        metrics = {"iou": score.iou, "niou": score.niou, "pd": score.pd, "fa": score.fa, **vars(signals)}
        return {f"val_{name}": value for name, value in metrics.items()}


def _mean_loss(losses: list[torch.Tensor], numbers: list[int], epoch: int) -> float:
    """The mean of the steps' losses over their images; asked for once an epoch, so that no step waits for the device.

    Raises:
        TrainingError: naming the first step whose loss is not finite.
    """
    values = torch.stack(losses).tolist()
    for step, value in enumerate(values, 1):
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is {value} at step {step} of epoch {epoch}; the state before this epoch is kept. "
                "Try a lower lr, or clip."
            )
    total = 0.0  # added one by one: sum() compensates since Python 3.12, and results would depend on it
    for value, images in zip(values, numbers, strict=True):
        total += value * images
    return total / sum(numbers)


def finished(recipe: Recipe, history: list[Epoch]) -> bool:
    """Whether a training with this history has nothing left to do: all epochs, or ``patience`` looks without gain."""
    if not history:
        return False
    looks = sum("val_iou" in metrics and metrics["epoch"] > history[-1]["best_epoch"] for metrics in history)
    return history[-1]["epoch"] >= recipe.epochs or 0 < recipe.patience <= looks


def fit(
    model: Network,
    train: Images,
    validation: Images,
    recipe: Recipe,
    *,
    seed: int,
    checkpoint: Path | None = None,
    device: str = "cpu",
    watched: Images | None = None,
) -> Iterator[Epoch]:
    """Train a network; at the end it holds the weights of its best epoch on the validation part.

    Processes of one ``torch.distributed`` group train it together; see `datransnet.engine.distributed`.

    Args:
        model: initialised by the caller; trained in place.
        train: images to learn from.
        validation: images that choose the epoch.
        recipe: how.
        seed: of order and augmentation.
        checkpoint: where the state is kept after every epoch. If it exists, training goes on from there, and the
            epochs before are yielded again first.
        device: as torch names it.
        watched: images that are scored after every validation and decide nothing. With the test part this measures
            what choosing the epoch on it, as released scripts do, would have gained.

    Yields:
        The metrics of each epoch.

    Raises:
        TrainingError: if the loss is not finite; the last checkpoint is that of the epoch before.
        DataError: if the checkpoint is damaged.
    """
    if isinstance(model, Normalised):
        model.measure(train.images)
    training = _Training(model, recipe, device)
    if checkpoint:
        training.load(checkpoint)
    yield from (dict(metrics) for metrics in training.history)
    loader = Loader(train, recipe, device)
    while not finished(recipe, training.history):
        epoch = len(training.history) + 1
        started = time.perf_counter()
        metrics: Epoch = {"epoch": epoch, **training.epoch(loader, seed, epoch)}
        if epoch % recipe.validate_every == 0 or epoch == recipe.epochs:
            metrics |= training.validate(validation, epoch)
            if watched is not None:
                metrics["watched_iou"] = score_images(training.judged, watched, recipe, device)[0].iou
        best = training.best
        metrics |= {"best_iou": max(best.iou, 0.0), "best_epoch": best.epoch, "seconds": time.perf_counter() - started}
        training.history.append(metrics)
        if checkpoint and is_first():
            training.save(checkpoint)
        yield dict(metrics)
    if training.best.weights:
        model.load_state_dict(training.best.weights)
