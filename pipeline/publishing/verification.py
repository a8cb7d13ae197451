"""Whether a study is what it says: every file as sealed, and every number as its data and stored scores give it again.

Each check is a function that yields what it looks at, with what is wrong there, or says why it cannot look.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from datransnet.data.dataset import Images, load_part
from datransnet.data.manifest import Part, image_digest, pair_digest
from datransnet.data.score_maps import find_predictions, read_scores
from datransnet.engine.memory_format import ready
from datransnet.engine.predict import predict_image
from datransnet.metrics.counts import Scores
from datransnet.metrics.logit_levels import to_scores
from pipeline.publishing.seal import digest_of_file, own_files, place_of, read_seal, runs_of
from pipeline.reporting.results import Results, board_of, tables_of
from pipeline.runs.record import Record, RunFolder
from pipeline.runs.run import seed_numbers
from pipeline.runs.trained import TrainedRun, read_trained
from pipeline.scoring.classical import method_file, method_scores
from pipeline.scoring.evaluation import ScoredPeer, ScoredRun
from pipeline.scoring.score_run import operating_points, scored
from pipeline.scoring.submission import entry_of, scores_file, stored_maps
from pipeline.scoring.submitted import FOLDER, read_submissions
from pipeline.study.handover import read_searches
from pipeline.study.status import Status
from pipeline.study.study import Study

TOLERANCE = 1e-6
"""Relative: how far a number may be off that another machine has rounded."""
SCORE_TOLERANCE = 0.01
"""How far a score may be off that another machine predicts: float32 there, half precision here."""
Looked = Iterator[tuple[str, str]]
"""Each place that a check looks at, with what is wrong there, or nothing."""


class Unseen(Exception):
    """What a check needs is not here."""


@dataclass
class Check:
    """What came of a check.

    Attributes:
        title: what was checked.
        looked: number of places.
        faults: place → what is wrong there.
        unseen: why it could not look, or not everywhere; else empty.
    """

    title: str
    looked: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    unseen: str = ""


def verify(study: Study, predict: bool = False) -> list[Check]:
    """All checks of a finished study, in the order from its files to its tables.

    Args:
        study: a finished one.
        predict: whether one test image of each run is predicted again from its weights.
    """
    checks: dict[str, Callable[[Study], Looked]] = {
        "files, as sealed": _files,
        "images and masks, as the manifest has them": _images,
        "runs, as they are called and as their stages have them": _runs,
        "counts and metrics, from stored scores": _scores,
        "tables, from counts and metrics": _tables,
        "submissions, from their stored scores": _submissions,
    }
    if predict:
        checks["stored scores, from weights (one image a run)"] = _weights
    with ThreadPoolExecutor(len(checks)) as pool:  # NumPy computes outside the interpreter's lock
        return list(pool.map(lambda title: _run(title, checks[title], study), checks))


def _run(title: str, look: Callable[[Study], Looked], study: Study) -> Check:
    found = Check(title)
    try:
        for place, fault in look(study):
            found.looked += 1
            if fault:
                found.faults[place] = fault
    except Unseen as reason:
        found.unseen = str(reason)
    except Exception as error:  # a damaged file may raise anything where it is read
        told = str(error).partition("\n")[0]
        found.faults[title] = f"cannot be read ({error.__class__.__name__}: {told})"
    return found


def _files(study: Study) -> Looked:
    """Every sealed file has the bytes that it had, and nothing was added.

    Nothing is read but bytes, so that what is damaged does not hide what else is.
    """
    sealed = dict(read_seal(study))
    places = {name: place_of(study, name) for name, digest in sealed.items() if digest}
    there = {name: path for name, path in places.items() if path.is_file()}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        digests = dict(zip(there, pool.map(digest_of_file, there.values()), strict=True))
    for name, digest in sealed.items():
        if name in digests:
            yield name, "" if digests[name] == digest else "has changed"
        elif not digest:
            yield name, "is not as sha256sum writes it"
        elif not name.startswith("data/"):  # images may not be given away; that they are missing is told below
            yield name, "is missing"
    for name in own_files(study.folder).keys() - sealed.keys():
        yield name, "was added"


def _test_part(study: Study) -> Images:
    """The test part.

    Raises:
        Unseen: if its images are not here.
    """
    if not (study.data / "test" / "images").is_dir():
        raise Unseen(f"the images are not here: fetch and split {study.params.data.dataset} in this folder")
    return load_part(study.data, "test")


def _images(study: Study) -> Looked:
    """Every image and mask has the pixels that the manifest's digest is made of."""
    manifest = study.manifest
    yield "manifest", "" if manifest.digest == _evaluated_digest(study) else "is not that of the evaluation"
    _test_part(study)
    items = {item.id: item for item in manifest.items}
    for part in sorted({item.part for item in manifest.items}):
        images = load_part(study.data, part)
        for id_, image, mask in zip(images.ids, images.images, images.masks, strict=True):
            same = (pair_digest(image, mask), image_digest(image)) == (items[id_].digest, items[id_].image)
            yield f"{part} {id_}", "" if same else "has other pixels"


def _evaluated_digest(study: Study) -> str:
    return Results.read(study).evaluation.dataset.digest


def _runs(study: Study) -> Looked:
    """Every trained run has the key that its parameters give, and its record says what its stage handed on."""
    missing = 0
    evaluated: dict[str, list[tuple[str | int | float, ...]]] = {}
    for run in Results.read(study).evaluation.runs:
        evaluated.setdefault(run.stage, []).append(
            (run.key, run.network, run.variant, run.seed_number, run.seed, run.val_iou, run.best_epoch)
        )
    for stage in ("train", "ablate"):
        runs = read_trained(study, stage)
        for handed, number in zip(runs, seed_numbers(run.variant for run in runs), strict=True):
            name = f"{handed.variant}, seed {number} ({handed.key})"
            record = RunFolder(runs_of(study), handed.key).read()
            missing += record is None
            yield name, _fault_of(handed, record, study.manifest.digest)
        told = [
            (run.key, run.network, run.variant, run.seed_number, run.run.seed, run.val_iou, run.best_epoch)
            for run in runs
        ]
        yield f"evaluation of stage {stage}", "" if told == evaluated.get(stage, []) else "is of other runs"
    for network, tuned in read_searches(study).networks.items():
        for trial in tuned.trials:
            record = RunFolder(runs_of(study), trial.key).read()
            if record is not None and record.status is Status.DONE and len(trial.keys) == 1:
                same = [epoch["best_iou"] for epoch in record.history][: len(trial.history)] == trial.history
                yield f"{network}, trial {trial.number}", "" if same else "its record tells of another course"
    if missing:
        raise Unseen(f"the records of {missing} runs are not here")


def _fault_of(handed: TrainedRun, record: Record | None, data: str) -> str:
    """What is wrong with what a stage handed on of a run; nothing if its record is not here."""
    if handed.run.key != handed.key:
        return "its key is not that of its parameters"
    if handed.run.data_digest != data:
        return "was trained on other data"
    if record is None:
        return ""
    if record.run.key != handed.key:
        return "its record is of another run"
    if (record.best_iou, record.history[-1]["best_epoch"]) != (handed.val_iou, handed.best_epoch):
        return "its record has another validation IoU"
    return ""


def _scores(study: Study) -> Looked:
    """Counts, metrics and areas of every run, method and peer are those of its stored scores."""
    evaluation, test = Results.read(study).evaluation, _test_part(study)
    if evaluation.ids != test.ids:
        yield "test images", "are not those of the evaluation"
        return
    selecting, missing = evaluation.rules.selects_on, 0
    selection = load_part(study.data, selecting)
    for each in evaluation.scored:
        maps = _maps(study, each, test, "test")
        if maps is None:
            missing += 1
            continue
        measured = scored(maps, test, evaluation.conventions, len(os.sched_getaffinity(0)))[0]
        again = asdict(measured)
        if isinstance(each, ScoredRun) and each.operating:
            choosing = _maps(study, each, selection, selecting)
            if choosing is not None:
                budgets = study.params.evaluate.budgets
                pairs = (choosing, selection), (maps, test)
                again["operating"] = _plain(operating_points(*pairs, evaluation.conventions[0], budgets))
        wrong = [name for name, value in again.items() if not _same(value, _plain(getattr(each, name)))]
        yield each.label, f"other {', '.join(wrong)} than its scores give" if wrong else ""
    if missing:
        raise Unseen(f"the scores of {missing} runs are not here")


def _maps(study: Study, each: ScoredRun | ScoredPeer, images: Images, part: Part) -> Sequence[Scores] | None:
    """Stored scores of a part, None where they are not here; other people's are of the test part."""
    if isinstance(each, ScoredRun):
        path = RunFolder(runs_of(study), each.key).path / f"{part}-logits.npz"
        if not path.exists():
            return None
        with np.load(path) as archive:
            return [to_scores(archive[id_]) for id_ in images.ids]
    if each.variant in study.params.evaluate.methods:
        return method_scores(study, each.variant, images) if method_file(study, each.variant).exists() else None
    folder = study.named(study.params.evaluate.peers[each.variant])
    if not folder.exists():
        return None
    found = find_predictions(folder.resolve(), study.data / "test" / "masks")
    paths = dict(zip(found.ids, found.scores, strict=True))
    return [read_scores(paths[id_]) for id_ in images.ids]


def _plain(value: Any) -> Any:
    """A dataclass, or a dictionary of them, as plain values."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def _same(one: Any, other: Any) -> bool:
    """Whether nested values are alike, numbers up to rounding."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float):
        both_nan = math.isnan(one) and isinstance(other, float) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-12)
    return bool(one == other)


def _weights(study: Study) -> Looked:
    """What each run's weights predict for the first test image are its stored scores."""
    from pipeline.runs.execute import load_trained  # imports torch

    test, missing = _test_part(study), 0
    for stage in ("train", "ablate"):
        for handed in read_trained(study, stage):
            weights = study.models / stage / f"{handed.key}.safetensors"
            stored = runs_of(study) / handed.key / "test-logits.npz"
            if not weights.exists() or not stored.exists():
                missing += 1
                continue
            with np.load(stored) as archive:
                expected = to_scores(archive[test.ids[0]])
            found = predict_image(ready(load_trained(handed.run, weights)), test.images[0], handed.run.recipe)
            name = f"{handed.variant}, seed {handed.seed_number} ({handed.key})"
            yield name, "" if np.abs(found - expected).max() < SCORE_TOLERANCE else "predicts other scores"
    if missing:
        raise Unseen(f"weights or scores of {missing} runs are not here")


def _tables(study: Study) -> Looked:
    """Every table's numbers are those that the evaluation gives again."""
    found = Results.read(study)
    board = board_of(study, found)
    tables = tables_of(found, board if len(board.entries) > 1 else None)
    with TemporaryDirectory() as scratch:
        for name, table in tables.items():
            table.write(Path(scratch))
            path = study.reports / "tables" / f"{name}.csv"
            if not path.exists():
                yield f"{name}.csv", "is missing"
                continue
            again, here = (pd.read_csv(each).to_dict("list") for each in (Path(scratch) / f"{name}.csv", path))
            yield f"{name}.csv", "" if _same(again, here) else "holds other numbers"


def _submissions(study: Study) -> Looked:
    """Every submission scores what its stored score maps give again."""
    submissions = read_submissions(study.folder)
    if not submissions:
        return
    test = _test_part(study)
    for each in submissions:
        for number, entry in enumerate(each.entries, 1):
            maps = stored_maps(scores_file(study.folder / FOLDER / each.name, number), test)
            again = asdict(entry_of(study, entry.key, each.name, maps, test, list(entry.counts)))
            wrong = [name for name, value in again.items() if not _same(value, _plain(getattr(entry, name)))]
            told = f"{each.name}, training {number}"
            yield told, f"other {', '.join(wrong)} than its scores give" if wrong else ""
