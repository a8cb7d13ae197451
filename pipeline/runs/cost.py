"""What a network costs: parameters, operations and latency."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.benchmark import Timer

from datransnet.atomic import write_text
from datransnet.engine.cost import operations_of, parameters_of
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
        latency: median milliseconds; infinite where memory does not suffice.
        size: height and width of the image, in pixels.
        threads: of the CPU.
        device: name of the machine or of its GPU.
    """

    latency: float
    size: int
    threads: int
    device: str


def latency(run: Run, runs: Path, seat: Seat, side: int | None = None) -> Latency:
    """The latency of a run's network on an image of ``side`` pixels squared, or of its recipe's size.

    It is measured once on each kind of device, by whoever asks first, and kept beside the run.
    """
    device, size, threads = seat.device_here, side or run.recipe.size, seat.cpus
    kept, name = (
        RunFolder(runs, run.key).path / f"latency-{size}-{device}-{threads}.json",
        environment(device)["device"],
    )
    if not kept.exists():
        try:
            measured = time_network(create_model(**run.model), size, threads, device)
        except torch.OutOfMemoryError:
            return Latency(math.inf, size, threads, name)
        write_text(kept, json.dumps(asdict(Latency(measured, size, threads, name))))
    return Latency(**json.loads(kept.read_text(encoding="utf-8")))


def time_network(model: Network, side: int, threads: int, device: str) -> float:
    """Median milliseconds of a forward pass of one image of ``side`` pixels squared."""
    model.eval().to(device)
    image = torch.zeros(1, 1, side, side, device=device, dtype=next(model.parameters()).dtype)
    with torch.inference_mode():
        timer = Timer("model(image)", globals={"model": model, "image": image}, num_threads=threads)
        return 1000 * float(timer.blocked_autorange(min_run_time=0.5).median)
