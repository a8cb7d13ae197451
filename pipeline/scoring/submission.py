"""Taking a submission in: somebody else's score maps or weights are scored like the study's own networks.

A submission is a folder ``submissions/<name>/`` of the study, with ``submission.json`` and the score maps of each
training as logits, from which `python -m pipeline verify` counts again.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from datransnet.atomic import atomic_path
from datransnet.data.dataset import Images, load_part
from datransnet.data.manifest import image_digest
from datransnet.data.score_maps import find_predictions, read_scores
from datransnet.engine.cost import operations_of, parameters_of
from datransnet.engine.memory_format import ready
from datransnet.engine.predict import predict
from datransnet.errors import DataError, ParameterError
from datransnet.metrics.counts import Scores
from datransnet.metrics.logit_levels import to_logits, to_scores
from datransnet.models import Network
from datransnet.weights import WEIGHTS, Foreign, learnt_images, load_weights
from pipeline.runs.cost import time_network
from pipeline.runs.provenance import environment, now
from pipeline.scoring.classical import side_of
from pipeline.scoring.evaluation import ScoredPeer
from pipeline.scoring.score_run import scored
from pipeline.scoring.submitted import FOLDER, SelectedOn, Submission, SubmissionCost
from pipeline.study.handover import write_result
from pipeline.study.study import Study


@dataclass(frozen=True)
class Origin:
    """What a submission says of itself; the fields are those of `Submission`."""

    name: str
    by: str
    source: str
    selected_on: SelectedOn


def submit_scores(study: Study, origin: Origin, folders: Sequence[Path]) -> Submission:
    """Take in score maps of the test part, a folder for each training.

    Raises:
        DataError: naming maps that are missing, of the wrong size, or too many.
        ParameterError: if there is a submission of this name, or maps are given twice.
    """
    test, trainings, digests = load_part(study.data, "test"), [], []
    for folder in folders:
        found = find_predictions(folder.resolve(), study.data / "test" / "masks")
        paths = dict(zip(found.ids, found.scores, strict=True))
        trainings.append([read_scores(paths[id_]) for id_ in test.ids])
        digests.append(_digest(paths[id_] for id_ in test.ids))
    return _take_in(study, origin, "scores", test, trainings, digests, None, None)


def submit_weights(study: Study, origin: Origin, files: Sequence[Path], foreign: Foreign) -> Submission:
    """Take in weights, a file for each training of one network, and score what they predict.

    Args:
        study: whose test part they are scored on.
        origin: what is said of them.
        files: as `load_weights` reads them.
        foreign: what there is to know of published checkpoints.

    Raises:
        DataError: if they do not fit the network, or have learnt from test images.
        ParameterError: if there is a submission of this name, or a file is given twice.
    """
    test, trainings, digests = load_part(study.data, "test"), [], []
    device, cost, seen = study.params.resources.here.device_here, None, None
    for file in files:
        network, recipe = load_weights(file, foreign)
        if learnt := learnt_images(file):
            seen = sum(image_digest(image) in learnt for image in test.images)
            if seen:
                raise DataError(f"{file} has learnt from {seen} of the {len(test)} test images: it cannot be compared.")
        trainings.append(list(predict(ready(network, device), test, recipe, device)))
        digests.append(_digest([file / WEIGHTS if file.is_dir() else file]))
        if cost is not None and cost.parameters != parameters_of(network):
            raise DataError(f"{file} is of another network than {files[0]}: submit it under a name of its own.")
        cost = cost or _cost(study, network, side_of(test))
    return _take_in(study, origin, "weights", test, trainings, digests, seen, cost)


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cost(study: Study, network: Network, side: int) -> SubmissionCost:
    seat = study.params.resources.here
    device = seat.device_here
    return SubmissionCost(
        parameters=parameters_of(network),
        operations=operations_of(network, side, side),
        latency=time_network(ready(network, device), side, seat.cpus, device),
        size=side,
        threads=seat.cpus,
        device=environment(device)["device"],
    )


def _take_in(
    study: Study,
    origin: Origin,
    kind: Literal["scores", "weights"],
    test: Images,
    trainings: Sequence[Sequence[Scores]],
    digests: list[str],
    seen: int | None,
    cost: SubmissionCost | None,
) -> Submission:
    """Store the score maps, score what is stored, and write the submission."""
    if len(set(digests)) < len(digests):
        raise ParameterError("Two trainings are the same, byte for byte: give each training once.")
    folder = study.folder / FOLDER / origin.name
    if folder.exists():
        raise ParameterError(
            f"There is a submission {origin.name!r} already: {folder}. Choose another name, or move it."
        )
    folder.parent.mkdir(exist_ok=True)
    with atomic_path(folder) as partial:
        partial.mkdir()
        entries = []
        for number, maps in enumerate(trainings, 1):
            path = scores_file(partial, number)
            logits = {id_: to_logits(np.asarray(scores)) for id_, scores in zip(test.ids, maps, strict=True)}
            np.savez_compressed(path, **logits)  # type: ignore[arg-type]  # ids are names of arrays
            found = stored_maps(path, test)
            conventions = study.params.evaluate.conventions
            entries.append(entry_of(study, f"{origin.name}-{number}", origin.name, found, test, conventions))
        submission = Submission(
            name=origin.name,
            by=origin.by,
            source=origin.source,
            selected_on=origin.selected_on,
            kind=kind,
            submitted=now(),
            data_digest=study.manifest.digest,
            digests=digests,
            seen=seen,
            cost=cost,
            entries=entries,
        )
        write_result(partial / "submission.json", submission)
    return submission


def scores_file(folder: Path, number: int) -> Path:
    """Where the score maps of a submission's training are, from 1."""
    return folder / f"scores-{number}.npz"


def stored_maps(path: Path, test: Images) -> list[Scores]:
    """The score maps in such a file."""
    with np.load(path) as archive:
        return [to_scores(archive[id_]) for id_ in test.ids]


def entry_of(
    study: Study, key: str, name: str, maps: Sequence[Scores], test: Images, conventions: Sequence[str]
) -> ScoredPeer:
    """What score maps are worth under some conventions."""
    measured = scored(maps, test, conventions, study.params.resources.cpus)[0]
    return ScoredPeer.of(key, name, measured)
