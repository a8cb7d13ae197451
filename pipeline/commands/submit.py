"""``python -m pipeline submit``: somebody else's score maps or weights as a line of a study's leaderboard."""

import re
from collections.abc import Sequence
from pathlib import Path

from datransnet.errors import ParameterError
from datransnet.weights import Foreign
from pipeline.console import say
from pipeline.scoring.submission import Origin, submit_scores, submit_weights
from pipeline.study.study import Study


def submit(folder: Path, origin: Origin, scores: Sequence[Path], weights: Sequence[Path], foreign: Foreign) -> None:
    """Score what is submitted on the study's test part, and keep it with its origin.

    Args:
        folder: of the study, whose data are split.
        origin: what is said of the submission.
        scores: folders of score maps, one for each training; or none.
        weights: files, one for each training; or none.
        foreign: what there is to know of published checkpoints.

    Raises:
        ParameterError: if neither or both are given, or the name is no name of a folder.
        DataError: if they cannot be scored.
    """
    if not (folder / "params.yaml").is_file():
        raise ParameterError(f"{folder} is no study: it has no params.yaml.")
    if bool(scores) == bool(weights):
        raise ParameterError("Give either --scores or --weights, each as often as there are trainings.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.+-]*", origin.name):
        raise ParameterError(f"--name {origin.name!r} names a folder: letters, digits, spaces, and _ . + - only.")
    study = Study(folder.resolve())
    found = submit_scores(study, origin, scores) if scores else submit_weights(study, origin, weights, foreign)
    convention = study.params.evaluate.conventions[0]
    for number, entry in enumerate(found.entries, 1):
        metrics = entry.scores[convention]
        say(
            f"{found.name}, training {number}: IoU {100 * metrics.iou:.2f} %, Pd {100 * metrics.pd:.2f} %, "
            f"Fa {1e6 * metrics.fa:.2f}e-6 ({convention})"
        )
    say(f"Kept in {study.folder / 'submissions' / found.name}; `python -m pipeline leaderboard {folder}` shows it.")
