"""``make bench``: each network's forward pass of one image by every path that computes the same, in milliseconds.

PyTorch with the weights as they are built and with the channels last (how a network predicts on a CPU), ONNX Runtime
with what ``python -m datransnet export`` writes, and OpenVINO, which no environment of ours has: ``pip install
openvino`` adds the column. Paths run in turn, each a few times after a pause, since the threads of one library wait for
work in a loop for some milliseconds and would take the cores from the next. What to quote are the ratios.
"""

import copy
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.networks import tabulate
from datransnet import create_model
from datransnet.engine.export import export_onnx
from datransnet.engine.memory_format import to_channels_last

Images = npt.NDArray[np.float32]
Forward = Callable[[Images], Images]
TURNS, REPEATS, PAUSE_SECONDS = 5, 5, 0.3


def onnx_runtime(file: Path, threads: int) -> Forward:
    """What ONNX Runtime makes of an exported network."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})[0]


def openvino(file: Path, threads: int) -> Forward:
    """What OpenVINO makes of it, in float32."""
    import openvino as library

    hints = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = library.Core().compile_model(str(file), "CPU", hints).create_infer_request()
    return lambda image: next(iter(request.infer({"image": image}).values()))


def timed(paths: dict[str, Forward], image: Images) -> dict[str, float]:
    """Median milliseconds by path."""
    seconds: dict[str, list[float]] = {key: [] for key in paths}
    for _ in range(TURNS):
        for key, forward in paths.items():
            time.sleep(PAUSE_SECONDS)
            forward(image), forward(image)
            for _ in range(REPEATS):
                started = time.perf_counter()
                forward(image)
                seconds[key].append(time.perf_counter() - started)
    return {key: 1000 * median(each) for key, each in seconds.items()}


def measure(name: str, size: int) -> dict[str, Any]:
    """Milliseconds by path, and how far each path's logits are from the first's, relative to the largest of these."""
    torch.manual_seed(0)
    built = create_model(name).eval()
    last = copy.deepcopy(built)
    to_channels_last(last)
    image: Images = torch.rand(1, 1, size, size).numpy()
    paths: dict[str, Forward] = {
        "as_built": lambda image: built(torch.from_numpy(image)).numpy(),
        "channels_last": lambda image: last(torch.from_numpy(image)).numpy(),
    }
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "network.onnx"
        started = time.perf_counter()
        export_onnx(copy.deepcopy(built), file, size, size)
        exported = time.perf_counter() - started
        paths["onnx_runtime"] = onnx_runtime(file, torch.get_num_threads())
        if find_spec("openvino"):
            paths["openvino"] = openvino(file, torch.get_num_threads())
        with torch.inference_mode():
            logits = {key: forward(image) for key, forward in paths.items()}
            milliseconds = timed(paths, image)
    ratios = (f"{key} {each:6.1f} ({milliseconds['as_built'] / each:.2f})" for key, each in milliseconds.items())
    print(f"{name:14}", *ratios, flush=True)
    first = logits["as_built"]
    difference = {key: float(np.abs(each - first).max() / np.abs(first).max()) for key, each in logits.items()}
    return {
        "name": name,
        "milliseconds": milliseconds,
        "relative_difference": difference,
        "export_seconds": exported,
    }


if __name__ == "__main__":
    tabulate("inference", __doc__, measure)
