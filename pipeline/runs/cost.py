"""What a network costs: parameters, operations and latency."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.benchmark import Timer

from datransnet.atomic import write_text
from datransnet.engine.cost import operations_of, parameters_of
from datransnet.engine.memory_format import predicts_channels_last, to_channels_last
from datransnet.models import Network, create_model
from pipeline.runs.provenance import environment
from pipeline.runs.record import RunFolder
from pipeline.runs.run import Run
from pipeline.study.seat import Seat


def cost(run: Run, side: int | None = None) -> dict[str, int]:
    """``parameters`` of a run's network, and ``operations`` on one image, 2 a multiply-add.

    Args:
        run: the run.
        side: height and width of the image, in pixels; those of its recipe's windows if None.
    """
    model = create_model(**run.model)
    size = side or run.recipe.size
    return {"parameters": parameters_of(model), "operations": operations_of(model, size, size)}


@dataclass(frozen=True)
class Latency:
    """How long one image takes.

    Attributes:
        latency: median milliseconds in the memory format in which it predicts; infinite where memory does not suffice.
        size: height and width of the image, in pixels.
        threads: of the CPU.
        device: name of the machine or of its GPU.
        memory_formats: median milliseconds by that of the weights: ``as_built``, and on a CPU ``channels_last``.
    """

    latency: float
    size: int
    threads: int
    device: str
    memory_formats: dict[str, float]


def latency(run: Run, runs: Path, seat: Seat, side: int | None = None) -> Latency:
    """The latency of a run's network on an image of ``side`` pixels squared, or of its recipe's size.

    It is measured once on each kind of device, by whoever asks first, and kept beside the run.
    """
    device, size, threads = seat.device_here, side or run.recipe.size, seat.cpus
    name = environment(device)["device"]
    kept = RunFolder(runs, run.key).path / f"latencies-{size}-{device}-{threads}.json"
    if not kept.exists():
        try:
            memory_formats = _time_formats(model := create_model(**run.model), size, threads, device)
        except torch.OutOfMemoryError:
            return Latency(math.inf, size, threads, name, {})
        own = memory_formats["channels_last" if predicts_channels_last(model, device) else "as_built"]
        write_text(kept, json.dumps(asdict(Latency(own, size, threads, name, memory_formats))))
    return Latency(**json.loads(kept.read_text(encoding="utf-8")))


def _time_formats(model: Network, side: int, threads: int, device: str) -> dict[str, float]:
    """Milliseconds by memory format, see `Latency`."""
    found = {"as_built": time_network(model, side, threads, device)}
    if device == "cpu":
        to_channels_last(model)
        found["channels_last"] = time_network(model, side, threads, device)
    return found


def time_network(model: Network, side: int, threads: int, device: str) -> float:
    """Median milliseconds of a forward pass of one image of ``side`` pixels squared."""
    model.eval().to(device)
    image = torch.zeros(1, 1, side, side, device=device, dtype=next(model.parameters()).dtype)
    with torch.inference_mode():
        timer = Timer("model(image)", globals={"model": model, "image": image}, num_threads=threads)
        return 1000 * float(timer.blocked_autorange(min_run_time=0.5).median)
