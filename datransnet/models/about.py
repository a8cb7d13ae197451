"""Where a network comes from, for tables."""

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """A network's origin.

    Attributes:
        title: as tables name it.
        paper: who and where.
        reference: arXiv number, DOI, or the repository where there is no paper.
        year: of the paper, or of the repository's commit.
        licence: of the public code that ours gives the same numbers as; "none" where it states none, so that nobody may
            copy it. Ours is written anew, under this project's licence.
        printed: IoU in %, as `source` prints it, by dataset. Each table has its own convention and choice of epoch, so
            they are no ranking; docs/explanation/published.md.
        source: of these numbers.
    """

    title: str
    paper: str
    reference: str
    year: int
    licence: str
    printed: tuple[tuple[str, float], ...] = ()
    source: str = ""


BASIC, DRPCA = "BasicIRSTD", "DRPCA-Net"
"""Tables of many networks: the last of 400 epochs in one recipe; and the best epoch on the test part."""


def iou(sirst: float, nudt: float, irstd1k: float) -> tuple[tuple[str, float], ...]:
    """Printed IoU in % on the three datasets that most tables have."""
    return (("SIRST", sirst), ("NUDT-SIRST", nudt), ("IRSTD-1K", irstd1k))
