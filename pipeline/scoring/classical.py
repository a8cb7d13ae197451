"""Classical methods on the test part: score maps that are computed once, and how long one takes."""

import json
from dataclasses import asdict
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from datransnet.atomic import atomic_path, write_text
from datransnet.classical import METHODS, classical_scores
from datransnet.data.dataset import Images
from pipeline.runs.provenance import environment
from pipeline.runs.source import source_digest
from pipeline.scoring.costs import MethodCost
from pipeline.study.digest import digest_of
from pipeline.study.study import Study

TIMED = 7
"""Test images, spread over the part, on which a method is timed: how long it takes depends on the image."""
Maps = list[npt.NDArray[np.float32]]


def _folder(study: Study, method: str) -> Path:
    """Where a method's answers are kept: under the digests of the data and of the method's code."""
    source = source_digest("datransnet.classical.scores", METHODS[method].__module__)
    return study.runs / ".methods" / f"{method}-{digest_of([method, study.manifest.digest, source])}"


def method_file(study: Study, method: str) -> Path:
    """Where a method's score maps of the test part are kept."""
    return _folder(study, method) / "test.npz"


def method_scores(study: Study, method: str, test: Images) -> Maps:
    """A method's score maps of the test part, H×W each, in [0, 1]: of each image scaled by their own maximum."""
    path = method_file(study, method)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        maps = zip(test.ids, classical_scores(method, test.images), strict=True)
        found = {id_: scores.astype(np.float32) for id_, scores in maps}
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **found)  # type: ignore[arg-type]  # ids are names of arrays
    with np.load(path) as archive:
        return [archive[id_] for id_ in test.ids]


def method_latency(study: Study, method: str, test: Images) -> MethodCost:
    """How long a method takes for an image of the test part, measured once."""
    threads, size = study.params.resources.cpus, side_of(test)
    kept = _folder(study, method) / f"latency-{threads}.json"
    if not kept.exists():
        respond, seconds = METHODS[method], []
        with threadpool_limits(threads):
            for place in np.linspace(0, len(test) - 1, TIMED).astype(int):
                image = test.images[place].astype(np.float64)
                began = perf_counter()
                respond(image)
                seconds.append(perf_counter() - began)
        found = MethodCost(1000 * median(seconds), size, threads, environment("cpu")["device"])
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps(asdict(found)))
    return MethodCost(**json.loads(kept.read_text(encoding="utf-8")))


def side_of(test: Images) -> int:
    """Height and width of a square image with as many pixels as the median image, in pixels."""
    return int(np.sqrt(np.median([image.size for image in test.images])).round())
