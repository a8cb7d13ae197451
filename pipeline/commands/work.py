"""``python -m pipeline work``: train what a study lacks, without a stage; as many of these as there are places."""

import math

from datransnet.errors import DATransNetError
from pipeline.console import say
from pipeline.runs.check_models import check_models
from pipeline.runs.gpu_share import with_share
from pipeline.runs.worker import Worked
from pipeline.runs.worker import work as train
from pipeline.search.lacking import lacking
from pipeline.study.study import Study

LATE = 75
"""The exit code when time was over before the work was: ``EX_TEMPFAIL`` of sysexits.h, to be tried again."""


def work(study: Study, minutes: float | None) -> None:
    """Train until nothing is lacking, or for some minutes.

    Raises:
        ParameterError: if the parameters name what cannot be trained, or what only the stage can do.
        DATransNetError: naming what failed, after all else is trained.
        SystemExit: with `LATE`, if the minutes were over first.
    """
    study = with_share(study)
    check_models(study.params)
    tell(train(lambda: lacking(study), 60 * minutes if minutes is not None else math.inf))


def tell(worked: Worked) -> None:
    """Print what a worker has done.

    Raises:
        DATransNetError: naming what failed.
        SystemExit: with `LATE`, if time was over first.
    """
    say(f"work: {len(worked.trained)} trained, {len(worked.failed)} failed, {worked.left} left")
    if worked.failed:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in worked.failed.items())
        raise DATransNetError(f"work: {len(worked.failed)} failed; the same command tries them again.\n{lines}")
    if worked.late:
        raise SystemExit(LATE)
