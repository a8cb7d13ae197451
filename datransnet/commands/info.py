"""The command ``info``: what a network is made of, and all networks in one table."""

import torch
from torch import nn
from torch.utils.benchmark import Timer

from datransnet.commands.assignments import parse_assignments
from datransnet.engine.cost import operations_of, parameters_of
from datransnet.engine.memory_format import ready
from datransnet.models import MODELS, Network, create_model, list_models


def _live(model: Network, height: int, width: int) -> set[str]:
    """Names of the parameters that a gradient reaches in training."""
    outputs = model.train().outputs(torch.rand(2, 1, height, width))
    sum(logits.sum() for logits in outputs.values()).backward()  # type: ignore[union-attr]
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def info_command(name: str, pairs: list[str], height: int, width: int) -> None:
    """Print layers, parameters, operations and size of a network."""
    model = create_model(name, **parse_assignments(pairs))
    operations = operations_of(model, height, width) / 1e9
    live = _live(model, 64, 64)
    count = {key: parameter.numel() for key, parameter in model.named_parameters()}
    for child, module in model.named_children():
        parts = list(module.named_children()) if isinstance(module, nn.ModuleList) else [("", module)]
        for index, part in parts:
            label = f"{child}.{index}".rstrip(".")
            print(f"{label:12} {type(part).__name__:28} {sum(p.numel() for p in part.parameters()):>10,} parameters")
    total, alive = sum(count.values()), sum(count[key] for key in live)
    print(f"parameters   {total:,}, of them {alive:,} live and {total - alive:,} dead ({total * 4 / 2**20:.1f} MiB)")
    print(f"operations   {operations:.2f} G at {height}×{width} (a multiply-add is 2), as computed here")


def all_command(height: int, width: int) -> None:
    """Print every network with its origin, its size, and what it costs on this machine's processor."""
    rows = [("name", "network", "paper", "reference", "licence", "parameters", "G mult-adds", "ms", "printed IoU, %")]
    for name in list_models():
        model, about = create_model(name).eval(), MODELS[name].about
        printed = ", ".join(f"{dataset} {value:.1f}" for dataset, value in about.printed)
        rows.append(
            (
                name,
                about.title or name,
                about.paper,
                about.reference,
                about.licence,
                f"{parameters_of(model):,}",
                f"{operations_of(model, height, width) / 2e9:.2f}",
                f"{latency_of(model, height, width):.0f}",
                f"{printed} ({about.source})" if printed else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(size) for text, size in zip(row, widths, strict=True)).rstrip())
    print(
        f"One image of {height}×{width}, {torch.get_num_threads()} threads. Each printed table has its own rules: they "
        "are no ranking."
    )


def latency_of(model: Network, height: int, width: int) -> float:
    """Median milliseconds of a forward pass of one image on the processor."""
    image = torch.zeros(1, 1, height, width)
    with torch.inference_mode():
        timer = Timer(
            "model(image)", globals={"model": ready(model), "image": image}, num_threads=torch.get_num_threads()
        )
        return 1000 * float(timer.blocked_autorange(min_run_time=0.2).median)
