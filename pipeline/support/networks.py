"""Whether the networks and recipes that the parameters name can be built, and what a network costs."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from datransnet.atomic import write_text
from datransnet.errors import ParameterError
from datransnet.models import create_model
from pipeline.support.params import Params, Resources
from pipeline.support.records import Run, RunFolder, environment
from pipeline.support.search_params import Choice, Interval


def check_models(params: Params) -> None:
    """Build the network, every variant and every searched choice once, so that a wrong argument fails before any work.

    Raises:
        ParameterError: naming the parameter that no network accepts.
    """
    base = params.model.arguments()
    attempts: dict[str, dict[str, Any]] = {"model": {}}
    attempts |= {f"ablate.variants.{name}": dict(changes) for name, changes in params.ablate.changes().items()}
    for key, dimension in params.tune.space.items():
        for value in _examples(dimension) if key.startswith("model.") else []:
            attempts[f"tune.space.{key} = {value}"] = {key.removeprefix("model."): value}
    problems = []
    for where, changes in attempts.items():
        try:
            with torch.device("meta"):
                create_model(**{**base, **changes})
        except ParameterError as error:
            problems.append(f"  {where}: {error}")
    for key, dimension in params.tune.space.items():
        field = key.removeprefix("recipe.")
        for value in _examples(dimension) if key.startswith("recipe.") else []:
            plain = params.digestible["recipe"] | {field: value}
            try:
                Params.model_validate(params.digestible | {"recipe": plain})
            except ValidationError as error:
                problems.append(f"  tune.space.{key} = {value}: {error.errors()[0]['msg']}")
    if problems:
        raise ParameterError("params.yaml has values that no training accepts:\n" + "\n".join(problems))


def _examples(dimension: Choice | Interval) -> list[Any]:
    """Values of a dimension that show whether all of them can be used."""
    if isinstance(dimension, Choice):
        return list(dimension.choice)
    low, high = dimension.low, dimension.high
    between = low + 0.618 * (high - low)  # has a fraction, which what must be whole refuses
    return [int(low), int(high)] if dimension.integer else [low, high, between]


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
