"""Several processes train as one: the same batches, statistics, loss and gradients, up to the order of sums.

Every process draws the whole batch and keeps its part of it. Batch norms average their statistics over the processes,
and losses are computed on the logits of all of them, because they pool the whole batch. Under ``torchrun`` this happens
by itself, `together` starts the others from within a process, and a process alone does none of it.
"""

import inspect
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as collective  # torch's public ones are deprecated in its favour
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes
from torch.nn.parallel import DistributedDataParallel

from datransnet.engine.all_outputs import AllOutputs
from datransnet.errors import DATransNetError, LostError, ParameterError, TrainingError

LAST_WORDS = 30.0
"""Seconds that a process which died has to say why, once the others have lost it."""
NO_MEMORY = 77
"""How a process exits that ran out of memory."""


def check_device(device: str) -> None:
    """See that torch can work on a device.

    Raises:
        ParameterError: if it cannot.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without the device
        there = f"cpu{', cuda' * torch.cuda.is_available()}"
        raise ParameterError(
            f"device = {device!r} cannot be used here ({there} can): {str(error).splitlines()[0]}"
        ) from None


def join_processes(device: str) -> str:
    """Meet the other processes that ``torchrun`` started, if it did; returns the device of this one.

    Raises:
        ParameterError: if there is no such device.
    """
    check_device(device)
    if "LOCAL_RANK" not in os.environ or dist.is_initialized():
        return device
    return _meet(device, int(os.environ["LOCAL_RANK"]))


def _meet(device: str, rank: int, meeting: str | None = None, number: int = -1) -> str:
    """Meet the other processes as number ``rank`` of this machine, on a GPU of its own if on any; returns it.

    They meet at a file ``meeting``, of which ``torch`` is given no address, since it would not read escapes in it; or,
    without one, where the environment says.
    """
    if device.startswith("cuda"):
        device = f"cuda:{rank}"
        torch.cuda.set_device(device)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if meeting is None:
        dist.init_process_group(backend)
    else:
        store = dist.FileStore(meeting, number)  # type: ignore[attr-defined]  # public, though its hints do not say so
        dist.init_process_group(backend, store=store, rank=rank, world_size=number)
    return device


@contextmanager
def together(
    number: int, device: str, accompany: Callable[..., None], arguments: tuple[Any, ...] = ()
) -> Iterator[str]:
    """Be the first of ``number`` processes on this machine for the block's duration; yields this one's device.

    The others call ``accompany(*arguments, device)``, which must train the same. They end with the block, however it
    ends, and with this process. Where ``number`` is 1 there are no others.

    Raises:
        TrainingError: if another process ran out of memory.
        LostError: if another process died.
        DATransNetError: if another process failed otherwise.
    """
    if number == 1:
        yield device
        return
    with TemporaryDirectory(prefix="datransnet-") as folder:
        meeting = (str(Path(folder) / "meeting"), number)
        others = start_processes(
            _accompany, (device, meeting, accompany, arguments), nprocs=number - 1, join=False, start_method="spawn"
        )
        assert others is not None
        try:
            yield _meet(device, 0, *meeting)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as lost:  # a collective whose other end is gone, among others
            try:
                others.join(timeout=LAST_WORDS)
            except ProcessRaisedException as error:
                last = str(error).strip().split("\n")[-1]
                raise DATransNetError(f"A process that trained along failed: {last}") from error
            except ProcessExitedException as error:
                if error.exit_code == NO_MEMORY:
                    raise TrainingError("Memory does not suffice in a process that trained along.") from lost
                raise LostError(f"A process that trained along died ({error}). Run the same again.") from lost
            raise
        finally:
            for process in others.processes:
                process.kill()
                process.join()
            if dist.is_initialized():
                dist.destroy_process_group()


def _accompany(
    index: int, device: str, meeting: tuple[str, int], accompany: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """What each of the others does. It ends with the process that started it, also while it waits for a GPU."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        accompany(*arguments, _meet(device, index + 1, *meeting))
    except torch.OutOfMemoryError:
        sys.exit(NO_MEMORY)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def processes() -> int:
    """How many train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that speaks and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def _everyone() -> dist.ProcessGroup:
    group = dist.group.WORLD
    assert group is not None
    return group


def _sum(x: Tensor) -> Tensor:
    """The sum of the processes' tensors, differentiable."""
    total: Tensor = collective.all_reduce(x, "sum", _everyone())
    return total


class SynchronisedNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all processes, which are equally large; torch's own is for GPUs only."""

    alone = False
    """Whether every process sees the whole batch at the moment."""

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        if not self.training or self.alone or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        number = processes()
        mean = _sum(x.mean(dim=(0, 2, 3))) / number
        centred = x - mean.view(-1, 1, 1)
        variance = _sum(centred.square().mean(dim=(0, 2, 3))) / number
        count = number * x.numel() / x.shape[1]
        with torch.no_grad():
            momentum = self.momentum if self.momentum is not None else 0.1
            self.running_mean.lerp_(mean.to(self.running_mean), momentum)
            self.running_var.lerp_(variance.to(self.running_var) * count / (count - 1), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        normed: Tensor = centred * (variance + self.eps).rsqrt().view(-1, 1, 1)
        return normed * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1) if self.affine else normed


def synchronised(model: AllOutputs, device: str) -> nn.Module:
    """A network whose batch norms and gradients are those of all processes; itself where there is one.

    Its batch norms change their class in place, so that weights keep their names.
    """
    if processes() == 1:
        return model
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedNorm
    on = [device] if device.startswith("cuda") else None
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # its name in older torch
    options: dict[str, Any] = {name: False, "find_unused_parameters": model.network.has_idle_parameters}
    return DistributedDataParallel(model, device_ids=on, **options)


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
    whole: Tensor = collective.all_gather_single_autograd(logits.contiguous(), 0, _everyone())
    return whole
