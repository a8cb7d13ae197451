"""``results/train.json`` and ``results/ablate.json``: what the stages that train hand on of each run."""

from dataclasses import dataclass

from pipeline.runs.run import Run
from pipeline.study.handover import read_result
from pipeline.study.study import Study


@dataclass(frozen=True)
class TrainedRun:
    """A finished run. Its weights are in ``models/<stage>/<key>.safetensors``.

    Attributes:
        key: of the run.
        network: the name of the study's network that it trained.
        variant: what the stage calls it: ``full`` is the winner of the subject's search, and that of another network
            has its name.
        seed_number: which of the study's seeds it has, from 1.
        run: what was trained.
        val_iou: best validation IoU, in [0, 1].
        best_epoch: the epoch of that, from 1, whose weights are kept.
        history: metrics of each epoch: ``epoch``, ``loss``, ``lr``, those that start with ``val_`` where it validated,
            ``watched_iou`` (of the test part, where it was watched), ``best_iou`` and ``best_epoch`` so far.
    """

    key: str
    network: str
    variant: str
    seed_number: int
    run: Run
    val_iou: float
    best_epoch: int
    history: list[dict[str, int | float]]


@dataclass(frozen=True)
class TrainedRuns:
    """``results/train.json`` and ``results/ablate.json``: all runs of a stage.

    Attributes:
        runs: in the order in which the stage named them.
    """

    runs: list[TrainedRun]


def read_trained(study: Study, stage: str) -> list[TrainedRun]:
    """The runs that a stage handed on.

    Raises:
        DataError: if the stage did not run.
    """
    return read_result(study.results / f"{stage}.json", TrainedRuns, stage).runs
