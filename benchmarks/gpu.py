"""``python -m benchmarks.gpu``: what an accelerator is worth that is at hand for minutes, the most important first.

Each figure is written as soon as it is measured, and none is measured twice: the same command goes on where it was
stopped. Trainings and predictions are the library's own, on images of noise; one training step of two networks that
differ in nothing but their switches says which switches to set. It needs the library's dependencies, not the study's,
and no network.
"""

import argparse
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.network import RESULTS, alternate, device_name, network_works, setting, short, synchronise
from datransnet import create_model, list_models
from datransnet.atomic import write_text
from datransnet.data.dataset import Images
from datransnet.data.loader import Loader
from datransnet.engine.fit import fit
from datransnet.engine.predict import predict
from datransnet.engine.recipe import Recipe
from datransnet.weights import create_trainable

STEPS = 8
"""Steps of an epoch that is timed."""
EPOCHS = 4
"""Epochs of a training that is timed; the first warms up, and the last one is validated."""
SWITCHES: tuple[dict[str, object], ...] = (
    {"precision": "bf16"},
    {"precision": "fp32"},
    {"precision": "bf16", "channels_last": True},
    {"precision": "bf16", "compile": True},
    {"precision": "bf16", "channels_last": True, "compile": True},
    {"precision": "fp32", "channels_last": True},
)
BATCHES = (16, 4, 64)
TOGETHER = (1, 2, 4, 6)
Figures = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """What all measurements share."""

    device: str
    size: int

    def data(self, number: int) -> Images:
        """Images of noise with one bright pixel in a hundred, which are the targets."""
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 256, (self.size, self.size), dtype=np.uint8) for _ in range(number)]
        return Images([str(index) for index in range(number)], images, [image > 252 for image in images])

    def recipe(self, batch: int, switches: dict[str, object]) -> Recipe:
        """A training whose epochs are timed."""
        plain = Recipe(epochs=EPOCHS, validate_every=EPOCHS, batch_size=batch, view="crop", size=self.size)
        return replace(plain, augment=True, target_share=0.5, **switches)  # type: ignore[arg-type]

    def train(self, network: str, batch: int, switches: dict[str, object], ready: Callable[[], object]) -> Figures:
        """Images a second in training, and the most memory it took; ``ready`` is called when it is warm."""
        recipe, data = self.recipe(batch, switches), self.data(STEPS * batch)
        model = create_trainable({"name": network, **self.arguments(network)}, recipe)
        if self.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        epochs = fit(model, data, data.subset([0, 1]), recipe, seed=0, device=self.device)
        first = next(epochs)["seconds"]
        ready()
        seconds = median(next(epochs)["seconds"] for _ in range(EPOCHS - 2))
        found = {"images_a_second": len(data) / seconds, "first_epoch_seconds": first}
        if self.device != "cpu":
            found["memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
        return found

    def arguments(self, network: str) -> dict[str, object]:
        """Those of the paper's network, and the defaults of all others."""
        return {"image_size": self.size, "width": 16} if network == "datransnet" else {}

    def predict(self, network: str) -> Figures:
        """Images a second of whole score maps."""
        model, data = create_model(network, **self.arguments(network)), self.data(64)
        recipe, seconds = Recipe(view="crop", size=self.size), list[float]()
        for _ in range(3):
            started = time.perf_counter()
            for _ in predict(model, data, recipe, self.device):
                pass
            seconds.append(time.perf_counter() - started)
        return {"images_a_second": len(data) / median(seconds[1:])}

    def load(self, reside: bool) -> Figures:
        """Images a second of batches alone, cut on the device or in the host's memory."""
        loader = Loader(self.data(STEPS * 16), self.recipe(16, {}), self.device)
        if not reside:
            loader.resident = None
        seconds = []
        for turn in range(4):
            started = time.perf_counter()
            for _ in loader.epoch(np.random.default_rng(turn)):
                pass
            synchronise(self.device)
            seconds.append(time.perf_counter() - started)
        return {"images_a_second": STEPS * 16 / median(seconds[1:])}

    def literal(self) -> Figures:
        """DATransNet as published, block by block written out, against ours, in alternation: milliseconds, batch 4."""
        options = argparse.Namespace(device=self.device, size=self.size, width=16, batch=4)
        both = [network_works(*setting(kind, options)) for kind in ("literal", "ours")]
        found: Figures = {}
        for place, work in enumerate(("forward", "step")):
            times = alternate(both[0][place], both[1][place], self.device, 10)
            found |= {f"{work}_literal_ms": 1e3 * times[0], f"{work}_ours_ms": 1e3 * times[1]}
        return found

    def side_by_side(self, number: int) -> Figures:
        """Images a second of so many trainings of DATransNet at once, in processes of their own, all together."""
        spawn = multiprocessing.get_context("spawn")
        barrier, rates = spawn.Barrier(number), spawn.SimpleQueue()
        processes = [spawn.Process(target=_one_of_several, args=(self, barrier, rates)) for _ in range(number)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise RuntimeError(f"{number} trainings at once: one of them failed")
        return {"images_a_second": sum(rates.get() for _ in processes)}


def _one_of_several(bench: Bench, barrier: Barrier, rates: "multiprocessing.SimpleQueue[float]") -> None:
    try:
        rates.put(bench.train("datransnet", 4, {"precision": "bf16"}, barrier.wait)["images_a_second"])
    except BaseException:
        barrier.abort()
        raise


def measurements(bench: Bench, networks: list[str]) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """Every measurement by its name, the most important first."""
    yield "literal", bench.literal
    for batch in BATCHES:
        for switches in SWITCHES:
            for network in networks:
                named = " ".join(key if value is True else str(value) for key, value in switches.items())
                yield (
                    f"train {network} batch {batch} {named}",
                    lambda n=network, b=batch, s=switches: bench.train(n, b, s, bool),  # type: ignore[misc]
                )
        if batch == BATCHES[0]:
            for number in TOGETHER:
                yield f"side by side {number}", lambda n=number: bench.side_by_side(n)  # type: ignore[misc]
            for reside in (True, False):
                yield f"batches cut {'there' if reside else 'here'}", lambda r=reside: bench.load(r)  # type: ignore[misc]
            for network in networks:
                yield f"predict {network}", lambda n=network: bench.predict(n)  # type: ignore[misc]


def fastest(figures: dict[str, Figures]) -> dict[str, str]:
    """The switches under which each network trains fastest, by the network and batch."""
    best: dict[str, tuple[float, str]] = {}
    for name, found in figures.items():
        if name.startswith("train ") and "images_a_second" in found:
            _, network, _, batch, switches = name.split(" ", 4)
            key = f"{network} batch {batch}"
            best[key] = max(best.get(key, (0.0, "")), (found["images_a_second"], switches))
    return {key: switches for key, (_, switches) in best.items()}


def main() -> None:
    """Measure what is missing, until the minutes are over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="after which nothing new is begun")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--networks", nargs="*", default=list_models(), help="all, if not given")
    parser.add_argument("--out", type=Path, help="file of results; in benchmarks/results, by device, if not given")
    options = parser.parse_args()
    started, bench = time.monotonic(), Bench(options.device, options.size)
    name = device_name(options.device)
    path: Path = options.out or RESULTS / f"gpu-{short(name)}.json"
    figures: dict[str, Figures | dict[str, str]] = {}
    if path.exists():
        figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    for what, measure in measurements(bench, options.networks):
        if what in figures:
            continue
        if time.monotonic() - started > 60 * options.minutes:
            print("The minutes are over; the same command does the rest.")
            return
        try:
            figures[what] = measure()
        except RuntimeError as error:  # too little memory, no compiler: a result, too
            figures[what] = {"failed": str(error).splitlines()[0][:200]}
        print(what, figures[what], flush=True)
        measured = {key: value for key, value in figures.items() if "failed" not in value}
        content = {
            "schema": 1,
            "device": name,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "command": " ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
            **asdict(bench),
            "fastest": fastest(measured),  # type: ignore[arg-type]
            "figures": figures,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content, indent=1) + "\n")
        torch._dynamo.reset()


if __name__ == "__main__":
    main()
