"""Protocols: which images a study learns from, and which choose the epoch that is kept."""

from dataclasses import dataclass
from typing import Literal

from datransnet.data.manifest import Part

ProtocolName = Literal["holdout", "literature"]


@dataclass(frozen=True)
class Protocol:
    """A protocol.

    Attributes:
        name: as the parameters have it.
        learns_from: parts whose images train a network.
        selects_on: the part whose IoU chooses the epoch, and whose scores choose the operating point.
        watches_test: whether the winner's training scores the test part at every validation. It decides nothing; it
            says what choosing there would have gained.
        mark: what stands beside every number of such a study: † where the test part chose the epoch.
    """

    name: ProtocolName
    learns_from: tuple[Part, ...]
    selects_on: Part
    watches_test: bool
    mark: str

    @property
    def sees(self) -> frozenset[Part]:
        """Parts that a trained network has seen, by learning from them or by being chosen on them."""
        return frozenset((*self.learns_from, self.selects_on))

    @property
    def selecting_part(self) -> str:
        """The part that chooses, as a sentence names it."""
        return f"test part {self.mark}" if self.selects_on == "test" else "validation part"


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("holdout", ("train",), "val", watches_test=True, mark=""),
        Protocol("literature", ("train", "val"), "test", watches_test=False, mark="†"),
    )
}
"""``literature`` is what the field's released scripts do; `holdout` is the default."""
