"""``results/evaluation/evaluation.json``: what stage evaluate measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from datransnet.metrics import Budget, Score
from pipeline.study.arguments import Arguments
from pipeline.study.params import UNTUNED, WINNER
from pipeline.study.protocol import PROTOCOLS, Protocol, ProtocolName

Counts = dict[str, list[int]]
"""Name of a count (`datransnet.metrics.Counts`) → its value for each test image, in the order of ``ids``."""
Matches = dict[str, list[float]]
"""The same of hierarchical IoU (`datransnet.metrics.hierarchical.HierarchicalCounts`)."""


@dataclass(frozen=True)
class Dataset:
    """The data of a study.

    Attributes:
        name: of the dataset.
        split: name of the split.
        digest: of the manifest, over ids, parts and pixels.
        summary: part → ``images``, ``targets`` and ``empty`` (images without a target).
        excluded: id of an image → why it was left out.
        treated: id of an image → what was done to it.
        remarks: what a person should know about the files and the parts, in sentences.
        sanitation: what was found in the files, as ``sanitation.json`` has it.
    """

    name: str
    split: str
    digest: str
    summary: dict[str, dict[str, int]]
    excluded: dict[str, str]
    treated: dict[str, str]
    remarks: list[str]
    sanitation: dict[str, JsonValue]


@dataclass(frozen=True)
class Areas:
    """Areas under curves, in [0, 1].

    Attributes:
        pixel: under the pixel ROC.
        target: under the target ROC of the DATransNet release.
        precision_recall: under precision over recall, of pixels.
    """

    pixel: float
    target: float
    precision_recall: float


@dataclass(frozen=True)
class Reliability:
    """How well scores agree with probabilities. Each list has one value for each bin of scores, from low to high.

    Attributes:
        ece: expected calibration error over all pixels, in [0, 1].
        ece_candidates: the same over the pixels outside the lowest bin, those that could be a target.
        pixels: number of pixels in the bin.
        score: mean score of the pixels in the bin.
        share: share of the pixels in the bin that are target.
    """

    ece: float
    ece_candidates: float
    pixels: list[int]
    score: list[float]
    share: list[float]


@dataclass(frozen=True)
class Measured:
    """What is measured on one set of score maps.

    Attributes:
        counts: convention → counts of each image.
        scores: convention → metrics.
        hierarchical: counts of hierarchical IoU of each image.
        areas: under the curves.
        calibration: of the scores.
    """

    counts: dict[str, Counts]
    scores: dict[str, Score]
    hierarchical: Matches
    areas: Areas
    calibration: Reliability


@dataclass(frozen=True)
class OperatingPoint:
    """Counts and metrics under the first convention at a threshold that was chosen on the part that selects.

    Attributes:
        budget: of false alarms, which the threshold keeps there.
        cautious: whether an upper confidence bound keeps it there, not just the mean.
        threshold: scores above it are target; 1 where no threshold keeps the false-alarm rate.
        counts: of each test image.
        scores: metrics on the test part.
    """

    budget: Budget
    cautious: bool
    threshold: float
    counts: Counts
    scores: Score


@dataclass(frozen=True)
class BestOnTest:
    """What choosing the epoch on the test part would have reported; nothing is chosen by it.

    Attributes:
        epoch: the epoch with the highest IoU on the test part, from 1.
        iou: that IoU, in [0, 1].
    """

    epoch: int
    iou: float


@dataclass(frozen=True)
class ScoredRun:
    """A trained run on the test part.

    Attributes:
        key: of the run.
        network: the name of the study's network.
        variant: ``full`` is the winner of the subject's search, and that of another network has its name.
        stage: that trained it.
        seed: of the training; a large number, derived from the study's.
        seed_number: which of the study's seeds that is, from 1: what people call it.
        model: name and keyword arguments of the network.
        val_iou: best validation IoU, in [0, 1].
        best_epoch: the epoch of that, from 1.
        best_on_test: null where the test part was not watched.
        counts: convention → counts of each image.
        scores: convention → metrics.
        hierarchical: counts of hierarchical IoU of each image.
        areas: under the curves.
        calibration: of the scores.
        operating: at thresholds chosen for budgets of false alarms; of the subject's winner only.
    """

    key: str
    network: str
    variant: str
    stage: str
    seed: int
    seed_number: int
    model: Arguments
    val_iou: float
    best_epoch: int
    best_on_test: BestOnTest | None
    counts: dict[str, Counts]
    scores: dict[str, Score]
    hierarchical: Matches
    areas: Areas
    calibration: Reliability
    operating: list[OperatingPoint]

    @property
    def label(self) -> str:
        """What a legend calls it."""
        return f"{self.variant}, seed {self.seed_number}"


@dataclass(frozen=True)
class ScoredPeer:
    """Score maps of the test part that this study has not trained: other people's, or a classical method's.

    Attributes:
        key: ``peer-`` and the name.
        variant: the name that the parameters give them, or the method's.
        counts: convention → counts of each image.
        scores: convention → metrics.
        hierarchical: counts of hierarchical IoU of each image.
        areas: under the curves.
        calibration: of the scores.
    """

    key: str
    variant: str
    counts: dict[str, Counts]
    scores: dict[str, Score]
    hierarchical: Matches
    areas: Areas
    calibration: Reliability

    @classmethod
    def of(cls, key: str, variant: str, measured: Measured) -> "ScoredPeer":
        """The same from what was measured."""
        return cls(key=key, variant=variant, **vars(measured))

    @property
    def label(self) -> str:
        """What a legend calls it."""
        return self.variant


@dataclass(frozen=True)
class StudyEvaluation:
    """``results/evaluation/evaluation.json``.

    Attributes:
        dataset: the data of the study.
        protocol: name of the protocol: which images networks learn from, and which choose the epoch.
        ids: of the test images.
        runs: all trained runs.
        removals: variant → the components that it lacks.
        peers: score maps of classical methods and of other people.
    """

    dataset: Dataset
    protocol: ProtocolName
    ids: list[str]
    runs: list[ScoredRun]
    removals: dict[str, list[str]]
    peers: list[ScoredPeer]

    @property
    def rules(self) -> Protocol:
        """The protocol."""
        return PROTOCOLS[self.protocol]

    @property
    def winners(self) -> list[ScoredRun]:
        """The winner of the subject's search on its seeds."""
        return [run for run in self.runs if run.variant == WINNER]

    @property
    def subject(self) -> str:
        """The network that is ablated."""
        return self.winners[0].network

    @property
    def networks(self) -> dict[str, list[ScoredRun]]:
        """The winner of each network's search on its seeds, by the network's name, the subject's first."""
        found: dict[str, list[ScoredRun]] = {}
        for run in self.runs:
            if run.variant == (WINNER if run.network == self.subject else run.network):
                found.setdefault(run.network, []).append(run)
        return found

    @property
    def untuned(self) -> dict[str, list[ScoredRun]]:
        """Each network as the parameters have it on its seeds, by its name; empty where none was trained so."""
        found: dict[str, list[ScoredRun]] = {}
        for run in self.runs:
            if run.variant == (UNTUNED if run.network == self.subject else f"{run.network}_{UNTUNED}"):
                found.setdefault(run.network, []).append(run)
        return found

    @property
    def scored(self) -> Sequence[ScoredRun | ScoredPeer]:
        """Runs, then peers."""
        return [*self.runs, *self.peers]

    @property
    def conventions(self) -> list[str]:
        """The conventions; the first is the report's."""
        return list(self.runs[0].counts)

    def by_variant(self) -> dict[str, list[ScoredRun]]:
        """The runs of the subject's winner and of each of its variants, seed by seed."""
        variants: dict[str, list[ScoredRun]] = {}
        for run in self.runs:
            if run.network == self.subject and run.variant != UNTUNED:
                variants.setdefault(run.variant, []).append(run)
        return variants
