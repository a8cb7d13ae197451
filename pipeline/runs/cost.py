"""What a network costs: parameters, operations and latency."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from datransnet.atomic import write_text
from datransnet.models import create_model
from pipeline.runs.provenance import environment
from pipeline.runs.record import RunFolder
from pipeline.runs.run import Run
from pipeline.study.resources import Resources


def cost(run: Run) -> dict[str, int]:
    """``parameters`` of a run's network, and ``operations`` on one image of its recipe's size, 2 a multiply-add."""
    model = create_model(**run.model).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 1, run.recipe.size, run.recipe.size))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": parameters, "operations": counter.get_total_flops()}


def latency(run: Run, runs: Path, resources: Resources) -> dict[str, Any]:
    """``latency``, the median milliseconds of one forward pass; ``size`` of the image, ``threads`` and ``device``.

    Measured once on each kind of device, by whoever asks first, and kept beside the run. Infinite where memory does not
    suffice.
    """
    device, size, threads = resources.device_here, run.recipe.size, resources.cpus
    kept = RunFolder(runs, run.key).path / f"latency-{device}-{threads}.json"
    about = {"size": size, "threads": threads, "device": environment(device)["device"]}
    if not kept.exists():
        try:
            model = create_model(**run.model).eval().to(device)
            image = torch.zeros(1, 1, size, size, device=device)
            with torch.inference_mode():
                timer = Timer("model(image)", globals={"model": model, "image": image}, num_threads=threads)
                measured = {"latency": 1000 * float(timer.blocked_autorange(min_run_time=0.5).median)}
        except torch.OutOfMemoryError:
            return {"latency": math.inf, **about}
        write_text(kept, json.dumps(measured | about))
    content: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return content
