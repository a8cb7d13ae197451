"""``make bench``: our loader against one that opens, decodes and resizes each image, as released training code does.

Three figures, on synthetic scenes in a temporary folder: images a second of both, in alternation; the share of an epoch
of the smallest network that waits for its batches; and how the memory that holds the data grows from one training on a
machine to four (proportional set size, so that a page which four processes share counts once).
"""

import argparse
import ctypes
import gc
import json
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.network import RESULTS, alternate, device_name, network_works, short
from datransnet import create_model
from datransnet.data.batch_recipe import BatchRecipe
from datransnet.data.catalogue import SYNTHETIC
from datransnet.data.dataset import load_part
from datransnet.data.loader import Loader
from datransnet.data.splits import split
from datransnet.data.synthetic import generate

TRAININGS = 4
SHOWN = 256


def plain(folder: Path, how: BatchRecipe, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch as a dataset class does it that opens, decodes, resizes and flips item by item."""
    paths = sorted((folder / "trainval/images").iterdir())
    for chosen in np.array_split(rng.permutation(len(paths)), -(-len(paths) // how.batch_size)):
        pairs = []
        for index in chosen:
            path, flip, turns = paths[index], rng.random() < 0.5, int(rng.integers(4))
            pair = []
            for file, kind in ((path, Image.Resampling.BILINEAR), (folder / "trainval/masks" / path.name, 0)):
                resized = Image.open(file).convert("L").resize((how.size, how.size), kind)
                array = np.rot90(np.asarray(resized, dtype=np.float32) / 255, turns)
                pair.append(torch.from_numpy(np.ascontiguousarray(array[:, ::-1] if flip else array)).unsqueeze(0))
            pairs.append(pair)
        images, masks = zip(*pairs, strict=True)
        yield torch.stack(images), torch.stack(masks)


def waiting(folder: Path, view: str, size: int) -> float:
    """Share of a training epoch of the smallest network that passes inside the loader."""
    how = BatchRecipe(batch_size=8, view=view, size=size, augment=True, target_share=0.5)  # type: ignore[arg-type]
    data = load_part(folder, "train")
    loader = Loader(data.subset(range(min(len(data), 128))), how)
    model = create_model("datransnet", image_size=size, width=4, datrans=False, gfem=False)
    shares = []
    for epoch in range(3):
        waited, started = 0.0, time.perf_counter()
        batches = loader.epoch(np.random.default_rng(epoch))
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            network_works(model, *batch)[1]()
        shares.append(waited / (time.perf_counter() - started))
    return float(np.median(shares))


def proportional() -> float:
    """MiB of this process, pages shared with others divided by their number, without what is free in its heap."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    found = re.search(r"^Pss:\s+(\d+)", Path("/proc/self/smaps_rollup").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def hold(folder: Path, how: BatchRecipe, together: Barrier, grown: Any, place: int) -> None:
    """One training's data, read once; tells how much memory it added while all hold theirs."""
    torch.set_num_threads(1)
    data = load_part(folder, "train")
    for _ in Loader(data.subset(range(4 * how.batch_size)), how).epoch(np.random.default_rng(0)):
        pass  # memory of the batches, which every training has of its own
    together.wait()
    before = proportional()
    together.wait()
    loader = Loader(data, how)
    for _ in loader.epoch(np.random.default_rng(0)):
        pass
    together.wait()
    grown[place] = proportional() - before
    together.wait()


def memory(folder: Path, how: BatchRecipe, trainings: int) -> float:
    """MiB that the data of some trainings add to one machine."""
    context = multiprocessing.get_context("spawn")
    together, grown = context.Barrier(trainings), context.Array("d", trainings)
    workers = [context.Process(target=hold, args=(folder, how, together, grown, n)) for n in range(trainings)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return float(sum(grown[:]))


def scenes(place: Path, options: argparse.Namespace) -> Path:
    """A split synthetic dataset."""
    generate(place / "raw", {"train": options.images, "val": 1, "test": 1}, options.size, seed=0)
    split(SYNTHETIC, place / "raw", place / "data", "generated", mismatch="exclude", validation_share=0.2, seed=0)
    return place / "data"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--data", type=Path, help="a split dataset to measure on instead of synthetic scenes")
    parser.add_argument("--size", type=int, default=320, help="of the scenes; networks are shown 256²")
    parser.add_argument("--times", type=int, default=20, help="pairs of epochs a median is taken of")
    options = parser.parse_args()
    torch.set_num_threads(2)
    how = BatchRecipe(batch_size=16, size=SHOWN, augment=True)
    with tempfile.TemporaryDirectory() as place:
        folder = options.data or scenes(Path(place), options)
        Loader(load_part(folder, "train"), how)  # decodes
        held = {str(number): memory(folder, how, number) for number in (1, TRAININGS)}
        loader = Loader(load_part(folder, "train", "val"), how)
        rng = np.random.default_rng(0)
        theirs, ours = alternate(
            lambda: list(plain(folder, how, rng)), lambda: list(loader.epoch(rng)), "cpu", options.times
        )
        shares = {f"{view} {size}": waiting(folder, view, size) for view, size in (("crop", 64), ("resize", 256))}
    number = len(loader.data)
    content = {
        "schema": 1,
        "device": device_name("cpu"),
        "torch": torch.__version__,
        "command": "python -m benchmarks.loader " + " ".join(sys.argv[1:]),
        "images": number,
        "images_per_second": {"plain": number / theirs, "ours": number / ours},
        "waiting_share": shares,
        "memory_mib": held,
    }
    print(f"an epoch of {number} images shown at {SHOWN}²: plain {theirs:.3f} s, ours {ours:.3f} s", end=" ")
    print(f"({theirs / ours:.1f}×)")
    for name, share in shares.items():
        print(f"the smallest network waits {share:.2%} of an epoch of {name}")
    print(f"data of 1 training {held['1']:.0f} MiB, of {TRAININGS} {held[str(TRAININGS)]:.0f} MiB", end=" ")
    print(f"({held[str(TRAININGS)] / held['1']:.2f}×)")
    name = options.data.name.lower() if options.data else "synthetic"
    path = RESULTS / f"loader-{name}-{short(device_name('cpu'))}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
