"""Stored score maps: every convention and curve is computed from them, never from a second prediction."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from datransnet.atomic import atomic_path
from datransnet.data.dataset import Images
from datransnet.engine.memory_format import ready
from datransnet.engine.predict import ScoreMap, predict, predict_image
from datransnet.engine.recipe import Recipe
from datransnet.metrics.logit_levels import to_logits, to_scores
from datransnet.models import Network
from pipeline.runs.execute import load_trained
from pipeline.runs.record import RunFolder
from pipeline.runs.run import Run


def stored_scores(
    runs: Path, run: Run, weights: Path, name: str, images: Images, device: str = "cpu"
) -> list[ScoreMap]:
    """Scores of some images, predicted once and kept as float16 logits, ``runs/<key>/<name>-logits.npz``.

    A part of the run's own data has its own name; images of other data have one with their
    digest in it. What is returned is always what is stored, so a number does not depend on who computed it first.
    """
    path = RunFolder(runs, run.key).path / f"{name}-logits.npz"
    if not path.exists():
        maps = _predicted(load_trained(run, weights), images, run.recipe, device)
        stored = {id_: to_logits(scores) for id_, scores in zip(images.ids, maps, strict=True)}
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **stored)  # type: ignore[arg-type]  # ids are names of arrays
    with np.load(path) as archive:
        return [to_scores(archive[id_]) for id_ in images.ids]


def _predicted(model: Network, images: Images, recipe: Recipe, device: str) -> Iterable[ScoreMap]:
    """Score maps of all images; on a CPU several at a time, each on one core.

    One image on several cores is no quicker, and where other processes want the cores too it is slower by far: its
    threads wait for each other at every layer.
    """
    if device != "cpu":
        return predict(ready(model, device), images, recipe, device)
    import torch

    ready(model)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(lambda image: predict_image(model, image, recipe), images.images))
