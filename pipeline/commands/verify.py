"""``python -m pipeline verify``: whether a finished study is what it says, for strangers."""

from pathlib import Path

from datransnet.errors import DATransNetError, ParameterError
from pipeline.console import say
from pipeline.publishing.seal import SEAL, digest_of_file
from pipeline.publishing.verification import verify
from pipeline.study.study import Study

SHOWN = 1000
"""Faults of a check that are printed."""
BEYOND = (
    "Not checked: that the weights come from the trainings that the records tell of (train again: `make repro`), and, "
    "without --predict, the stored scores from the weights; times and latencies; what was tried before and not "
    "reported. Figures, pages and curves are held against the seal only."
)


def verify_study(folder: Path, predict: bool) -> None:
    """Print what was checked and what is wrong.

    Args:
        folder: of the study, where it was made or as it was exported.
        predict: whether one test image of each run is predicted again from its weights.

    Raises:
        ParameterError: if the folder is no study.
        DATransNetError: if anything is wrong.
    """
    if not (folder / "params.yaml").is_file():
        raise ParameterError(f"{folder} is no study: it has no params.yaml.")
    study = Study(folder.resolve(), with_code=False)
    checks, faults = verify(study, predict), 0
    for check in checks:
        faults += len(check.faults)
        seen = f"{check.looked} checked, {len(check.faults)} wrong"
        say(f"{check.title}: {seen}" + (f"; not checked: {check.unseen}" if check.unseen else ""))
        for place, fault in list(check.faults.items())[:SHOWN]:
            say(f"  {place} {fault}")
    if (seal := study.folder / SEAL).is_file():
        say(f"The seal's own digest is {digest_of_file(seal)}: compare it with the one that was published.")
    say(BEYOND)
    if faults:
        raise DATransNetError(f"{study.folder}: {faults} things are not as they should be.")
    unseen = sum(bool(check.unseen) for check in checks)
    say(
        f"{study.folder}: nothing is wrong in what was checked"
        + (f"; {unseen} checks are not whole." if unseen else ".")
    )
