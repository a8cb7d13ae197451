"""``submissions/<name>/submission.json``: somebody else's network on a study's test part."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.scoring.evaluation import ScoredPeer
from pipeline.study.handover import read_result

FOLDER = "submissions"
"""Where they lie in a study's folder."""
SelectedOn = Literal["validation", "test", "unknown"]
MARKS: dict[SelectedOn, str] = {"validation": "", "test": "†", "unknown": "‡"}
"""How tables mark where the submitted weights were chosen."""


@dataclass(frozen=True)
class SubmissionCost:
    """What a submitted network takes.

    Attributes:
        parameters: their number.
        operations: on one image of ``size``, two for a multiply-add.
        latency: median milliseconds of one forward pass.
        size: height and width of that image, in pixels.
        threads: of the CPU.
        device: on which the latency was measured.
    """

    parameters: int
    operations: int
    latency: float
    size: int
    threads: int
    device: str


@dataclass(frozen=True)
class Submission:
    """A submission.

    Attributes:
        name: of the method; that of the folder.
        by: who submitted it.
        source: where it can be had, an address; or empty.
        selected_on: what chose the weights, as those say who submitted them.
        kind: whether score maps or weights were submitted.
        submitted: when, UTC.
        data_digest: of the split that it was scored on.
        digests: sha256 of each file of weights, or of each folder of score maps.
        seen: number of test images that the weights have learnt from, as their card says; null where there is none.
        cost: of the network, null of score maps.
        entries: what each training scores.
    """

    name: str
    by: str
    source: str
    selected_on: SelectedOn
    kind: Literal["scores", "weights"]
    submitted: str
    data_digest: str
    digests: list[str]
    seen: int | None
    cost: SubmissionCost | None
    entries: list[ScoredPeer]


def read_submissions(folder: Path) -> list[Submission]:
    """All submissions to the study in a folder, by name.

    Raises:
        DataError: if one is damaged.
    """
    return [read_result(path, Submission, "submit") for path in sorted((folder / FOLDER).glob("*/submission.json"))]
