"""Several runs trained side by side, an epoch of each in turn: the seeds of a trial."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from itertools import islice, zip_longest
from statistics import fmean

from datransnet.errors import TrainingError
from pipeline.runs.execute import Job, execute
from pipeline.study.status import Status


def side_by_side(jobs: Sequence[Job], until: int, patience: float = -1) -> Generator[float, None, None]:
    """Train jobs epoch by epoch up to one; yields the mean of their best validation IoU.

    Args:
        jobs: of one trial, or a single one.
        until: epoch, from 1.
        patience: seconds to wait for a run that another process trains; below 0 without end.

    Raises:
        TrainingError: if a run diverges, or did so earlier: the search has other points to try.
        Timeout: if another process trains a run for longer than that.
    """
    for job in jobs:
        record = job.folder.read()
        if record and record.status is Status.INFEASIBLE:
            raise TrainingError(record.reason)
    runs = [execute(job, patience) for job in jobs]
    best = [0.0] * len(jobs)
    try:
        for epochs in islice(zip_longest(*runs), until):
            best = [epoch["best_iou"] if epoch else value for epoch, value in zip(epochs, best, strict=True)]
            yield fmean(best)
    except BaseException as reason:
        if not isinstance(reason, Exception | GeneratorExit):  # an interruption is one for every run
            for run in runs:
                with suppress(BaseException):
                    run.throw(reason)
        raise
    finally:
        for run in runs:
            run.close()
