"""What a study's winner is worth on another study's test part."""

from dataclasses import dataclass

from pipeline.scoring.evaluation import Counts, OperatingPoint


@dataclass(frozen=True)
class Transfer:
    """The winner of one study on the test part of another, or of its own.

    Attributes:
        trained_on: name of the study whose winner it is.
        scored_on: name of the study whose test part it is.
        mark: † where the winner's epoch was chosen on a test part.
        images: of that test part that were scored.
        left_out: of that test part that the winner has seen, by their pixels.
        counts: of each seed at 0.5, image by image.
        points: for each budget, the same in both studies: each seed's operating point, on the second study's images.
    """

    trained_on: str
    scored_on: str
    mark: str
    images: int
    left_out: int
    counts: list[Counts]
    points: list[list[OperatingPoint]]
