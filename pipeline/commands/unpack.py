"""``python -m pipeline unpack``: take over what was trained elsewhere from a packed list."""

import json
import shutil
from pathlib import Path

from datransnet.atomic import atomic_path
from datransnet.errors import DataError
from pipeline.console import say
from pipeline.runs.packed import RUNS
from pipeline.runs.record import RunFolder
from pipeline.runs.run import training_source
from pipeline.study.study import Study


def unpack(study: Study, folder: Path) -> None:
    """Take over each run that has come farther there than here.

    Args:
        study: whose runs they are, or of another study of its project.
        folder: in which ``work.py`` was run, or a copy of its ``runs``.

    Raises:
        DataError: if there are no runs, or one was trained by other code than is here.
    """
    place = folder / RUNS if (folder / RUNS).is_dir() else folder
    keys = sorted(path.parent.name for path in place.glob("*/record.json"))
    if not keys:
        raise DataError(f"There are no runs in {folder}.")
    taken = [key for key in keys if _take(study, RunFolder(place, key))]
    say(f"unpack: {len(taken)} of {len(keys)} runs have come farther there and are taken over.")


def _take(study: Study, there: RunFolder) -> bool:
    """Take one run over, unless it has come as far here.

    Raises:
        DataError: if its record is damaged, or it was trained by other code.
    """
    key = there.path.name
    try:
        record = there.read()
    except (ValueError, TypeError, KeyError, json.JSONDecodeError) as error:
        raise DataError(f"{there.record_file} is damaged ({error}): copy it again.") from error
    if record is None or record.run.key != key:
        raise DataError(f"{there.path} is not the run that its name says: copy it again.")
    if record.run.source != training_source(str(record.run.model["name"])):
        raise DataError(
            f"{key} was trained by other code than is here, so no study here can use it. Check out the commit "
            f"{record.git}, or pack and train again."
        )
    here = RunFolder(study.runs, key)
    with here.locked():
        known = here.read()
        if (
            known is not None
            and len(known.history) >= len(record.history)
            and not (record.status.well and not known.status.well)
        ):
            return False
        for source, target in ((there.checkpoint, here.checkpoint), (there.weights, here.weights)):
            if source.exists():
                with atomic_path(target) as partial:
                    shutil.copyfile(source, partial)
        with atomic_path(here.record_file) as partial:  # last: a record says that the rest is there
            shutil.copyfile(there.record_file, partial)
    return True
