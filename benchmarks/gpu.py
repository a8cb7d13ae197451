"""``python -m benchmarks.gpu``: how fast this library trains and predicts on an accelerator, network by network.

It is made for a card that is borrowed for minutes. The most important figures come first, each is written as soon as it
is measured, and the same command goes on where it was stopped; what failed is tried once more at the end of the next
call. Trainings and predictions are the library's own, on images of noise. Only the library's dependencies are needed.
"""

import argparse
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
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

STEPS = 32
"""Steps of an epoch that is timed."""
EPOCHS = 4
"""Epochs of a training that is timed; the first warms up, and the last one is validated."""
Switches = dict[str, object]
PLAIN: tuple[Switches, ...] = (
    {"precision": "bf16"},
    {"precision": "fp32"},
    {"precision": "bf16", "channels_last": True},
    {"precision": "fp32", "channels_last": True},
)
COMPILED: tuple[Switches, ...] = (
    {"precision": "bf16", "compile": True},
    {"precision": "bf16", "channels_last": True, "compile": True},
)
BATCHES = (16, 4, 64)
TOGETHER = (1, 2, 4, 6)
PATIENCE = 300.0
"""Seconds after which trainings side by side no longer wait for one that has not come."""
Figures = dict[str, float]
Outcome = dict[str, float | str]
"""Figures, or under ``failed`` why there are none."""


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

    def recipe(self, batch: int, switches: Switches) -> Recipe:
        """A training whose epochs are timed."""
        plain = Recipe(epochs=EPOCHS, validate_every=EPOCHS, batch_size=batch, view="crop", size=self.size)
        return replace(plain, augment=True, target_share=0.5, **switches)  # type: ignore[arg-type]

    def train(self, network: str, batch: int, switches: Switches, ready: Callable[[], object] = bool) -> Figures:
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
        barrier, rates = spawn.Barrier(number, timeout=PATIENCE), spawn.SimpleQueue()
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
    yield from _trainings(bench, networks, BATCHES[0], PLAIN)
    for number in TOGETHER:
        yield f"side by side {number}", partial(bench.side_by_side, number)
    for reside in (True, False):
        yield f"batches cut {'there' if reside else 'here'}", partial(bench.load, reside)
    for network in networks:
        yield f"predict {network}", partial(bench.predict, network)
    yield from _trainings(bench, networks, BATCHES[0], COMPILED)
    for batch in BATCHES[1:]:
        yield from _trainings(bench, networks, batch, (*PLAIN, *COMPILED))


def _trainings(
    bench: Bench, networks: list[str], batch: int, ways: Sequence[Switches]
) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """A training of each network under each of some switches, but for those that change nothing."""
    for switches in ways:
        named = " ".join(key if value is True else str(value) for key, value in switches.items())
        for network in networks:
            if not (network == "datransnet" and "channels_last" in switches):  # its channels always lie last
                yield f"train {network} batch {batch} {named}", partial(bench.train, network, batch, switches)


def fastest(figures: Mapping[str, Outcome]) -> dict[str, str]:
    """The switches under which each network trains fastest, by the network and batch."""
    best: dict[str, tuple[float, str]] = {}
    for name, found in figures.items():
        if name.startswith("train ") and "images_a_second" in found:
            _, network, _, batch, switches = name.split(" ", 4)
            key = f"{network} batch {batch}"
            best[key] = max(best.get(key, (0.0, "")), (float(found["images_a_second"]), switches))
    return {key: switches for key, (_, switches) in best.items()}


def main() -> None:
    """Measure what is missing, until the minutes are over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="after which nothing new is begun, but for a first")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--networks", nargs="*", default=list_models(), help="all, if not given")
    parser.add_argument("--out", type=Path, help="file of results; in benchmarks/results, by device, if not given")
    options = parser.parse_args()
    started, bench = time.monotonic(), Bench(options.device, options.size)
    name = device_name(options.device)
    path: Path = options.out or RESULTS / f"gpu-{short(name)}.json"
    setting = {"device_name": name, "torch": torch.__version__, "python": platform.python_version(), **asdict(bench)}
    figures = measured_before(path, setting)
    torch.use_deterministic_algorithms(True, warn_only=True)  # as studies train
    all_of_them = list(measurements(bench, options.networks))
    missing = [each for each in all_of_them if each[0] not in figures]
    failed = [each for each in all_of_them if "failed" in figures.get(each[0], {})]
    for number, (what, measure) in enumerate(missing + failed):
        if number and time.monotonic() - started > 60 * options.minutes:
            print("The minutes are over; the same command does the rest.")
            return
        figures[what] = attempt(measure)
        print(what, figures[what], flush=True)
        command = " ".join(["python -m benchmarks.gpu", *sys.argv[1:]])
        content = {"schema": 2, **setting, "command": command, "fastest": fastest(figures), "figures": figures}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content, indent=1) + "\n")
        if options.device != "cpu":
            torch.cuda.synchronize()  # ends the command where an error has left the device of no use to this process
            torch.cuda.empty_cache()


def attempt(measure: Callable[[], Figures]) -> Outcome:
    """What was measured, or in one line why it was not: too little memory and a missing compiler are results, too."""
    try:
        return dict(measure())
    except Exception as error:  # a compiler raises kinds of its own
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}


def measured_before(path: Path, setting: dict[str, str | int]) -> dict[str, Outcome]:
    """The outcomes in a file of results; the command ends if they are of another setting."""
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    if others := [
        f"{key} {content.get(key)}, not {value}" for key, value in setting.items() if content.get(key) != value
    ]:
        raise SystemExit(f"{path} is of another setting ({'; '.join(others)}). Name another file with --out.")
    outcomes: dict[str, Outcome] = content["figures"]
    return outcomes


if __name__ == "__main__":
    main()
