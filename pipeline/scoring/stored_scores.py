"""Stored score maps: every convention and curve is computed from them, never from a second prediction."""

from pathlib import Path

import numpy as np

from datransnet.atomic import atomic_path
from datransnet.data.dataset import Images
from datransnet.data.manifest import Part
from datransnet.engine.predict import ScoreMap, predict
from datransnet.metrics.logit_levels import to_logits, to_scores
from pipeline.runs.execute import load_trained
from pipeline.runs.record import RunFolder
from pipeline.runs.run import Run


def stored_scores(
    runs: Path, run: Run, weights: Path, part: Part, images: Images, device: str = "cpu"
) -> list[ScoreMap]:
    """Scores of a part of the run's data, predicted once and kept as float16 logits, ``runs/<key>/<part>-logits.npz``.

    What is returned is always what is stored, so a number does not depend on who computed it first.
    """
    path = RunFolder(runs, run.key).path / f"{part}-logits.npz"
    if not path.exists():
        maps = predict(load_trained(run, weights), images, run.recipe, device)
        stored = {id_: to_logits(scores) for id_, scores in zip(images.ids, maps, strict=True)}
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **stored)  # type: ignore[arg-type]  # ids are names of arrays
    with np.load(path) as archive:
        return [to_scores(archive[id_]) for id_ in images.ids]
