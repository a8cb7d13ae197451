"""``python -m pipeline work``: train what a study lacks, without a stage; as many of these as there are places."""

import math

from pipeline.runs.check_models import check_models
from pipeline.runs.gpu_share import with_share
from pipeline.runs.worker import work as train
from pipeline.search.lacking import lacking
from pipeline.study.study import Study


def work(study: Study, minutes: float | None) -> None:
    """Train until nothing is lacking, or for some minutes.

    Raises:
        ParameterError: if the parameters name what cannot be trained, or what only the stage can do.
        DATransNetError: naming what failed, after all else is trained.
        SystemExit: with `pipeline.runs.worker.LATE`, if the minutes were over first.
    """
    study = with_share(study)
    check_models(study.params)
    train(lambda: lacking(study), 60 * minutes if minutes is not None else math.inf).tell()
