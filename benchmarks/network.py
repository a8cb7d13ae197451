"""``make bench``: the literal network against ours, block by block and whole, in one table and one JSON file.

Both run in alternation in one process, so that a busy machine slows both; figures are medians, and what to quote are
the ratios. The limit is what the operations that ours executes would take at this machine's measured ceilings: their
multiply-adds at the speed of a large matrix product, or the bytes they read and write at that of a large copy,
whichever is longer. Peak memory is that of a training step in a process of its own.
"""

import argparse
import json
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.literal import create_literal
from datransnet import create_model
from datransnet.layers import datrans
from datransnet.layers.datrans import DynamicAttentionTransformer
from datransnet.losses import LOSSES

RESULTS = Path(__file__).parent / "results"
Work = Callable[[], Any]


class Traffic(TorchDispatchMode):
    """Bytes that every executed operation reads and writes; views are free."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return out


def device_name(device: str) -> str:
    """What computes, as it calls itself."""
    if device != "cpu":
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def short(device: str) -> str:
    """A device's name as files of results have it.

    >>> short("Intel(R) Xeon(R) Processor"), short("AMD EPYC"), short("NVIDIA H100 80GB HBM3")
    ('intel-xeon', 'amd-epyc', 'nvidia-h100-80gb-hbm3')
    """
    words = re.findall(r"[a-z0-9]+", re.sub(r"\((?:r|tm)\)|\b(?:processor|cpu)\b", " ", device.lower()))
    return "-".join(words)


def synchronise(device: str) -> None:
    """Wait for an accelerator."""
    if device != "cpu":
        torch.cuda.synchronize()


def seconds(work: Work, device: str) -> float:
    """Time of one call."""
    synchronise(device)
    start = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start


def alternate(first: Work, second: Work, device: str, times: int) -> tuple[float, float]:
    """Median times of two calls, taken in turn after three of each to warm up."""
    for _ in range(3):
        first(), second()
    pairs = [(seconds(first, device), seconds(second, device)) for _ in range(times)]
    return median(a for a, _ in pairs), median(b for _, b in pairs)


def ceilings(device: str) -> dict[str, float]:
    """Operations a second of a large matrix product and bytes a second of a large copy."""
    a = torch.rand(2048, 2048, device=device)
    source = torch.rand(2**26, device=device)
    target = torch.empty_like(source)
    product, copy = alternate(lambda: a @ a, lambda: target.copy_(source), device, 10)
    return {"flops": 2 * 2048**3 / product, "bytes": 2 * 4 * 2**26 / copy}


def limit(work: Work, ceiling: dict[str, float]) -> float:
    """Seconds that the operations of a call would take at the ceilings."""
    with FlopCounterMode(display=False) as flops, Traffic() as traffic:
        work()
    return float(max(flops.get_total_flops() / ceiling["flops"], traffic.bytes / ceiling["bytes"]))


def block_works(module: nn.Module, inputs: list[Tensor]) -> tuple[Work, Work]:
    """Forward in evaluation, and forward with backward in training mode."""
    inputs = [item.requires_grad_() for item in inputs]

    @torch.no_grad()
    def forward() -> None:
        module.eval()
        module(*inputs)

    def both() -> None:
        module.train()
        module(*inputs).sum().backward()

    return forward, both


def network_works(model: nn.Module, images: Tensor, masks: Tensor) -> tuple[Work, Work]:
    """Forward in evaluation, and a training step with Adam."""
    optimizer = torch.optim.Adam(model.parameters())

    @torch.no_grad()
    def forward() -> None:
        model.eval()
        model(images)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        LOSSES["soft_iou"](model(images), masks).backward()
        optimizer.step()

    return forward, step


def peak_memory(kind: str, options: argparse.Namespace) -> float:
    """MiB that a training step adds to a process that holds the network, its data and PyTorch."""
    passed = ["--device", options.device, "--batch", options.batch, "--size", options.size, "--width", options.width]
    command = [sys.executable, "-m", "benchmarks.network", "--peak", kind, "--threads", options.threads, *passed]
    return float(subprocess.run([str(each) for each in command], check=True, capture_output=True, text=True).stdout)


def print_peak(kind: str, options: argparse.Namespace) -> None:
    """What `peak_memory` asks a process of its own."""
    model, images, masks = setting(kind, options)
    _, step = network_works(model, images, masks)
    if options.device != "cpu":
        step()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        step()
        print((torch.cuda.max_memory_allocated() - held) / 2**20)
        return
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(), step()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)


def setting(kind: str, options: argparse.Namespace) -> tuple[nn.Module, Tensor, Tensor]:
    """A network of a kind, images and masks."""
    torch.manual_seed(0)
    create = create_literal if kind == "literal" else lambda **arguments: create_model("datransnet", **arguments)
    model = create(image_size=options.size, width=options.width).to(options.device)
    images = torch.rand(options.batch, 1, options.size, options.size, device=options.device)
    return model, images, (torch.rand_like(images) > 0.99).float()


def maps_of(block: DynamicAttentionTransformer, level: int, options: argparse.Namespace) -> Tensor:
    """Random maps as the block of a level gets them, B×C×H×W."""
    channels, side = len(block.get_parameter("out.0.weight")), options.size >> level
    return torch.rand(options.batch, channels, side, side, device=options.device)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows of the table."""
    device, ceiling = options.device, options.ceiling
    works: list[tuple[str, tuple[Work, Work], tuple[Work, Work]]] = []
    model, images, masks = setting("ours", options)
    literal_model, _, _ = setting("literal", options)
    assert isinstance(model.skips, nn.ModuleList)
    assert isinstance(literal_model.skips, nn.ModuleList)
    for level, block in enumerate(model.skips):
        assert isinstance(block, DynamicAttentionTransformer)
        inputs = [maps_of(block, level, options)]
        before, after = block_works(literal_model.skips[level], inputs), block_works(block, inputs)
        works.append((f"DATrans, level {level}", before, after))
    works.append(("network", network_works(literal_model, images, masks), network_works(model, images, masks)))
    rows = []
    for name, literal, ours in works:
        for kind, first, second in zip(("forward", "step"), literal, ours, strict=True):
            theirs, own = alternate(first, second, device, options.times)
            row = {"what": name, "pass": kind, "literal": theirs, "ours": own, "limit": limit(second, ceiling)}
            rows.append(row)
            show(row)
    return rows


def chosen(work: Work, moments: bool) -> Work:
    """A call that gets its key products by the autocorrelation, or forms the keys, whatever the block would choose."""

    def forced() -> None:
        with patch.object(datrans, "moments_pay", return_value=moments):
            work()

    return forced


def choices(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Forward and backward of each block, with keys formed and by the autocorrelation, and which of them it chooses."""
    model, _, _ = setting("ours", options)
    assert isinstance(model.skips, nn.ModuleList)
    rows = []
    for level, block in enumerate(model.skips):
        assert isinstance(block, DynamicAttentionTransformer)
        x = maps_of(block, level, options)
        _, both = block_works(block, [x])
        formed, moments = alternate(chosen(both, False), chosen(both, True), options.device, options.times)
        keys = len(block.get_parameter("keys.0.weight"))
        pays = [datrans.moments_pay(keys, x, d) for d in block.dilations]
        rows.append({"level": level, "formed": formed, "moments": moments, "moments_chosen": pays})
        print(f"keys of level {level}: formed {1e3 * formed:.1f} ms, by moments {1e3 * moments:.1f} ms; moments {pays}")
    return rows


class Half(nn.Module):
    """A network compiled whole, computing in bf16 where that is safe; float32 logits."""

    def __init__(self, model: nn.Module, kind: str) -> None:
        super().__init__()
        self.model, self.kind = model, kind
        self.model.compile(fullgraph=True)

    def forward(self, images: Tensor) -> Tensor:
        """B×1×H×W → B×1×H×W."""
        with torch.autocast(self.kind, torch.bfloat16):
            logits: Tensor = self.model(images)
        return logits.float()


def rates(options: argparse.Namespace) -> dict[str, float]:
    """Images a second in training: the literal form in float32 as it is, and ours in bf16, channels last, compiled."""
    literal, images, masks = setting("literal", options)
    ours, _, _ = setting("ours", options)
    half = Half(ours, options.device.partition(":")[0])
    first, second = network_works(literal, images, masks)[1], network_works(half, images, masks)[1]
    before, after = alternate(first, second, options.device, options.times)
    return {"literal_fp32_eager": len(images) / before, "ours_bf16_compiled": len(images) / after}


def show(row: dict[str, Any]) -> None:
    """One line of the table, in milliseconds."""
    print(
        f"{row['what']:18} {row['pass']:8} {1e3 * row['literal']:9.1f} {1e3 * row['ours']:9.1f} "
        f"{row['literal'] / row['ours']:7.2f} {1e3 * row['limit']:9.1f} {row['ours'] / row['limit']:7.2f}",
        flush=True,
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--times", type=int, default=20, help="pairs a median is taken of")
    parser.add_argument("--name", help="of the file in benchmarks/results; that of the device if not given")
    parser.add_argument("--rates", action="store_true", help="also images/s in training, ours compiled and in bf16")
    parser.add_argument("--peak", choices=["literal", "ours"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print_peak(options.peak, options)
        return
    memory = {kind: peak_memory(kind, options) for kind in ("literal", "ours")}
    options.ceiling = ceilings(options.device)
    print(f"{'':18} {'':8} {'literal':>9} {'ours':>9} {'ratio':>7} {'limit':>9} {'ours/limit':>10}   (ms)")
    rows = measure(options)
    print(f"peak memory of a step: {memory['literal']:.0f} MiB literal, {memory['ours']:.0f} MiB ours", end=" ")
    print(f"({memory['ours'] / memory['literal']:.2f})")
    choice = choices(options)
    rate = rates(options) if options.rates else {}
    for kind, value in rate.items():
        print(f"training, {kind}: {value:.1f} images/s")
    content = {
        "schema": 1,
        "device": device_name(options.device),
        "threads": options.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": "python -m benchmarks.network " + " ".join(sys.argv[1:]),
        "setting": {"batch": options.batch, "size": options.size, "width": options.width, "times": options.times},
        "ceilings": options.ceiling,
        "memory_mib": memory,
        "images_per_second": rate,
        "rows": rows,
        "keys": choice,
    }
    RESULTS.mkdir(exist_ok=True)
    name = options.name or f"network-{short(device_name(options.device))}-{options.threads}-threads"
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
