"""``make bench``: each network of the field as published, step by step, against ours of the same function.

What differs: RDIAN's directions are subtractions instead of eight convolutions; L2SKNet's kernels and their sums are
one convolution instead of two; ISTDU-Net's external attention multiplies by two matrices instead of four; SCTransNet's
levels are enlarged after their convolution instead of before; and in evaluation a convolution takes over the norm
behind it, where the layer is one of ours. Both run in alternation in one process; what to quote are the ratios.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.network import RESULTS, device_name
from datransnet import create_model, list_models
from datransnet.engine.cost import operations_of, parameters_of
from datransnet.layers.saliency import LocalSaliency
from datransnet.models import istdunet, rdian, sctransnet

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


def _reconstruction(layer: nn.Module, x: Tensor) -> Tensor:
    """SCTransNet: enlarge, then convolve."""
    assert isinstance(layer, sctransnet._Reconstruction)
    out: Tensor = layer.norm(layer.conv(layer._enlarged(x))).relu()
    return out


def _conv_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    out: Tensor = norm(conv(x))
    return out


@contextmanager
def as_published() -> Iterator[None]:
    """Networks compute step by step while this lasts."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(rdian, "opposite_products", _directions))
        stack.enter_context(patch.object(LocalSaliency, "forward", _saliency))
        stack.enter_context(patch.object(istdunet.ExternalAttention, "forward", _external))
        stack.enter_context(patch.object(sctransnet._Reconstruction, "forward", _reconstruction))
        for name, module in list(sys.modules.items()):
            if name.startswith("datransnet.") and hasattr(module, "conv_norm") and not name.endswith(".conv_norm"):
                stack.enter_context(patch.object(module, "conv_norm", _conv_norm))
        yield


def measure(name: str, size: int) -> dict[str, object]:
    """Both forms of one network: milliseconds of a forward pass and of a training step, and what they differ by."""
    torch.manual_seed(0)
    model, image = create_model(name), torch.rand(2, 1, size, size)
    seconds: dict[tuple[str, bool], list[float]] = {}

    def run(work: str) -> Tensor:
        if work == "forward":
            with torch.inference_mode():
                out: Tensor = model.eval()(image[:1])
            return out
        model.zero_grad()
        out = model.train()(image)
        out.square().mean().backward()
        return out

    difference = 0.0
    for turn in range(ROUNDS + 1):
        for work in ("forward", "step"):
            outs = []
            for plain in (False, True):
                with as_published() if plain else ExitStack():
                    started = time.perf_counter()
                    outs.append(run(work))
                if turn:  # the first turn warms up
                    seconds.setdefault((work, plain), []).append(time.perf_counter() - started)
            if work == "forward":
                difference = max(difference, float((outs[0] - outs[1]).abs().max() / outs[1].abs().max()))
    found: dict[str, object] = {
        "name": name,
        "parameters": parameters_of(model),
        "multiply_adds": operations_of(model, size, size) // 2,
        "relative_difference": difference,
    }
    for work in ("forward", "step"):
        ours, plain = (median(seconds[work, form]) for form in (False, True))
        found |= {f"{work}_ms": 1000 * ours, f"{work}_ms_published": 1000 * plain, f"{work}_ratio": plain / ours}
    print(
        f"{name:14} {found['multiply_adds'] / 1e9:7.2f} G multiply-adds, forward {found['forward_ms']:7.1f} ms "  # type: ignore[operator]
        f"({found['forward_ratio']:.2f} times faster), step of two {found['step_ms']:7.1f} ms "
        f"({found['step_ratio']:.2f} times)",
        flush=True,
    )
    return found


def main() -> None:
    """Measure every network; write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [measure(name, options.size) for name in options.names or list_models()]
    result = {
        "schema": 1,
        "device": device_name("cpu"),
        "threads": options.threads,
        "size": options.size,
        "torch": torch.__version__,
        "command": " ".join(["python -m benchmarks.networks", *sys.argv[1:]]),
        "networks": rows,
    }
    if not options.names:
        (RESULTS / "networks.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
