"""``make bench``: each network of the field as published, step by step, against ours of the same function.

What differs: RDIAN's directions are subtractions instead of eight convolutions; L2SKNet's kernels and their sums are
one convolution instead of two; ISTDU-Net's external attention multiplies by two matrices instead of four. Both run in
alternation in one process; what to quote are the ratios. The other networks spend their time in convolutions, which the
layout in memory makes cheaper: the recipe's ``channels_last``. DATransNet has `benchmarks.network`, too.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.network import RESULTS, device_name
from datransnet import create_model, list_models
from datransnet.engine.cost import operations_of, parameters_of
from datransnet.layers.saliency import LocalSaliency
from datransnet.models import istdunet, rdian

ROUNDS = 7
DIRECTIONS = ((0, 0), (0, 2), (0, 4), (2, 4), (4, 4), (4, 2), (4, 0), (2, 0))


def _directions(image: Tensor) -> Tensor:
    """RDIAN: eight convolutions with fixed 5×5 kernels, of which opposite ones are multiplied."""
    kernels = image.new_zeros(8, 1, 5, 5)
    kernels[:, 0, 2, 2] = 1
    for number, (row, column) in enumerate(DIRECTIONS):
        kernels[number, 0, row, column] = -1
    found = [F.conv2d(image, kernel[None], padding=2) for kernel in kernels]
    return found[0] * found[4] + found[1] * found[5] + found[2] * found[6] + found[3] * found[7]


def _saliency(layer: LocalSaliency, x: Tensor) -> Tensor:
    """L2SKNet: the kernel, the sum of its taps, and its centre, each a convolution."""
    weight, dilation = layer.conv.weight, layer.dilation
    reach = weight.shape[-1] // 2
    total = F.conv2d(x, weight.sum((2, 3), keepdim=True))
    around = F.conv2d(x, weight, padding=reach * dilation, dilation=dilation)
    centre = F.conv2d(x, weight[..., reach, reach, None, None])
    out: Tensor = total - around + layer.attn["avg_channel"](x) * centre
    return out


def _external(layer: istdunet.ExternalAttention, x: Tensor) -> Tensor:
    """ISTDU-Net: four matrices, one after the other."""
    weights = layer.linear_0(layer.conv1(x).flatten(2)).softmax(2)
    weights = weights / (1e-9 + weights.sum(1, keepdim=True))
    out: Tensor = layer.conv2(layer.linear_1(weights).unflatten(2, x.shape[-2:])) + x
    return out


PLAIN: dict[str, tuple[object, str, Callable[..., Tensor]]] = {
    "rdian": (rdian, "opposite_products", _directions),
    "l2sknet_unet": (LocalSaliency, "forward", _saliency),
    "istdunet": (istdunet.ExternalAttention, "forward", _external),
}
"""Network → what of it is replaced by its published form."""


def measure(name: str, size: int) -> dict[str, Any]:
    """Milliseconds of a forward pass of one image and of a training step of two, and how they compare.

    What they are compared with: the published form, where it differs, and the same weights with ``channels_last``.
    """
    torch.manual_seed(0)
    model, image = create_model(name), torch.rand(2, 1, size, size)
    last: nn.Module = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forms = ["ours", "channels_last", *(["published"] if name in PLAIN else [])]
    seconds: dict[tuple[str, str], list[float]] = {}

    def run(work: str, form: str) -> Tensor:
        network = last if form == "channels_last" else model
        if work == "forward":
            with torch.inference_mode():
                out: Tensor = network.eval()(image[:1])
            return out
        network.zero_grad()
        out = network.train()(image)
        out.square().mean().backward()
        return out

    difference: dict[str, float] = {}
    for turn in range(ROUNDS + 1):
        for work in ("forward", "step"):
            outs = {}
            for form in forms:
                with patch.object(*PLAIN[name]) if form == "published" else nullcontext():
                    started = time.perf_counter()
                    outs[form] = run(work, form)
                if turn:  # the first turn warms up
                    seconds.setdefault((work, form), []).append(time.perf_counter() - started)
            if work == "forward" and not turn:  # later, batch norms have learned from other roundings
                for form in forms[1:]:
                    difference[form] = float((outs["ours"] - outs[form]).abs().max() / outs["ours"].abs().max())
    found: dict[str, Any] = {
        "name": name,
        "parameters": parameters_of(model),
        "multiply_adds": operations_of(model, size, size) // 2,
        "relative_difference": difference,
    }
    told = f"{name:14} {operations_of(model, size, size) / 2e9:7.2f} G multiply-adds"
    for work in ("forward", "step"):
        times = {form: 1000 * median(seconds[work, form]) for form in forms}
        found[f"{work}_ms"] = times["ours"]
        found[f"{work}_channels_last"] = times["ours"] / times["channels_last"]
        told += f"   {work} {times['ours']:7.1f} ms (channels last {found[f'{work}_channels_last']:.2f} times faster"
        if name in PLAIN:
            found[f"{work}_ratio"] = times["published"] / times["ours"]
            told += f"; {found[f'{work}_ratio']:.2f} times faster than as published"
        told += ")"
    print(told, flush=True)
    return found


def tabulate(bench: str, about: str | None, measure: Callable[[str, int], dict[str, Any]]) -> None:
    """Measure the networks that the command line names; write ``results/<bench>.json`` if it names none, thus all."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = {
        "schema": 1,
        "device": device_name("cpu"),
        "threads": options.threads,
        "size": options.size,
        "torch": torch.__version__,
        "command": " ".join([f"python -m benchmarks.{bench}", *sys.argv[1:]]),
        "networks": [measure(name, options.size) for name in options.names or list_models()],
    }
    if not options.names:
        (RESULTS / f"{bench}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    tabulate("networks", __doc__, measure)
