"""The seal of a study: the sha256 of every file that its report stands on, as ``sha256sum`` writes and checks them.

Stage report writes it last, and DVC notes its digest in ``dvc.lock``. Names are relative to the study's folder; those
of runs begin with ``runs/``, although a profile's runs lie in the project.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from datransnet.atomic import write_text
from datransnet.data.manifest import PARTS
from datransnet.errors import DataError
from pipeline.runs.record import RunFolder
from pipeline.runs.trained import read_trained
from pipeline.scoring.classical import method_file
from pipeline.study.handover import read_searches
from pipeline.study.outputs import FILES, FOLDERS, PAGES
from pipeline.study.status import Status
from pipeline.study.study import Study

SEAL = "reports/SHA256SUMS"


def digest_of_file(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_seal(study: Study) -> None:
    """Write the seal of a study whose report is finished."""
    lines = [f"{digest_of_file(path)}  {name}\n" for name, path in sorted(files_of(study).items())]
    write_text(study.folder / SEAL, "".join(lines))


def read_seal(study: Study) -> Iterator[tuple[str, str]]:
    """Name and digest of each line of a seal; a line that ``sha256sum`` would not write has no digest.

    Raises:
        DataError: if there is none.
    """
    path = study.folder / SEAL
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: run the report stage.") from error
    for number, line in enumerate(lines[:-1], 1):
        if found := re.fullmatch(rb"([0-9a-f]{64})  ([^\0]+)", line):
            yield found[2].decode(errors="replace"), found[1].decode()
        else:
            yield f"{SEAL}, line {number}", ""
    if lines[-1]:
        yield f"{SEAL}, line {len(lines)}", ""


def runs_of(study: Study) -> Path:
    """Where the study's runs are: in its own folder, as in an export, else in its project."""
    own = study.folder / "runs"
    return own if own.is_dir() else study.runs


def place_of(study: Study, name: str) -> Path:
    """Where a sealed file is."""
    first, _, rest = name.partition("/")
    return runs_of(study) / rest if first == "runs" else study.folder / name


def files_of(study: Study) -> dict[str, Path]:
    """The files that a report stands on, by their names in the seal; those that are not here are left out.

    Of runs these are the records that can no longer change, the weights, and the stored scores.
    """
    found = {"params.yaml": study.folder / "params.yaml"}
    found |= own_files(study.folder)
    found |= {path.relative_to(study.folder).as_posix(): path for path in study.data.rglob("*")}
    for path in _of_runs(study):
        found["runs/" + path.relative_to(study.runs).as_posix()] = path
    return {name: path for name, path in found.items() if path.is_file()}


def own_files(study: Path) -> dict[str, Path]:
    """What stages wrote into a study's folder besides its data, by its names in the seal; nothing of anybody else's."""
    found = {name: study / name for name in (*FILES, *PAGES) if name != SEAL}
    for folder, pattern in FOLDERS.items():
        for path in (study / folder).rglob("*"):
            if re.fullmatch(pattern, path.relative_to(study / folder).as_posix()):
                found[path.relative_to(study).as_posix()] = path
    return {name: path for name, path in found.items() if path.is_file()}


def _of_runs(study: Study) -> Iterator[Path]:
    trained = [run.key for stage in ("train", "ablate") for run in read_trained(study, stage)]
    tried = [key for tuned in read_searches(study).networks.values() for trial in tuned.trials for key in trial.keys]
    for key in dict.fromkeys([*trained, *tried]):
        folder = RunFolder(study.runs, key)
        record = folder.read()
        if record is None or record.status is not Status.DONE:
            continue  # another study may train it on
        yield folder.record_file
        yield folder.weights
        if key in trained:
            yield from (folder.path / f"{part}-logits.npz" for part in PARTS)
    for method in study.params.evaluate.methods:
        yield method_file(study, method)
