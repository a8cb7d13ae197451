"""Several processes train as one: the same batches, statistics, loss and gradients, up to the order of sums.

Every process draws the whole batch and keeps its part of it. Batch norms average their statistics over the processes,
and losses are computed on the logits of all of them, because they pool the whole batch. Under ``torchrun`` this happens
by itself; a process alone does none of it.
"""

import os

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as collective
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from datransnet.models.registry import Network


def join_processes(device: str) -> str:
    """Meet the other processes that ``torchrun`` started, if it did; returns the device of this one."""
    if "LOCAL_RANK" not in os.environ or dist.is_initialized():
        return device
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return device


def processes() -> int:
    """How many train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that speaks and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


class SynchronisedNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all processes, which are equally large; torch's own is for GPUs only."""

    alone = False
    """Whether every process sees the whole batch at the moment."""

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        if not self.training or self.alone or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        number = processes()
        mean = collective.all_reduce(x.mean(dim=(0, 2, 3))) / number
        centred = x - mean.view(-1, 1, 1)
        variance = collective.all_reduce(centred.square().mean(dim=(0, 2, 3))) / number
        count = number * x.numel() / x.shape[1]
        with torch.no_grad():
            momentum = self.momentum if self.momentum is not None else 0.1
            self.running_mean.lerp_(mean.to(self.running_mean), momentum)
            self.running_var.lerp_(variance.to(self.running_var) * count / (count - 1), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        out: Tensor = centred * scale.view(-1, 1, 1) + self.bias.view(-1, 1, 1)
        return out


def synchronised(model: Network, device: str) -> nn.Module:
    """A network whose batch norms and gradients are those of all processes; itself where there is one.

    Its batch norms change their class in place, so that weights keep their names.
    """
    if processes() == 1:
        return model
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedNorm
    on = [device] if device.startswith("cuda") else None
    return DistributedDataParallel(model, device_ids=on, broadcast_buffers=False)


def shared(model: nn.Module, batch: Tensor) -> Tensor:
    """The part of a batch that is this process's; all of it where the processes do not divide it."""
    number = processes()
    divided = len(batch) % number == 0
    for module in model.modules():
        if isinstance(module, SynchronisedNorm):
            module.alone = not divided
    return batch.chunk(number)[dist.get_rank()] if divided and number > 1 else batch


def gathered(logits: Tensor, batch: int) -> Tensor:
    """The logits of all processes, in the batch's order."""
    if len(logits) == batch:
        return logits
    return torch.cat(collective.all_gather(logits.contiguous()))
