"""The states of a training, and of a trial of the search, which is one training or several side by side."""

from enum import StrEnum


class Status(StrEnum):
    """What became of a training; its value is what records and tables say."""

    WAITING = "waiting"
    """It has not begun, so it has no record."""
    RUNNING = "running"
    DONE = "done"
    PRUNED = "pruned"
    """The search stopped it early."""
    INFEASIBLE = "infeasible"
    """It diverged, or memory did not suffice: this point cannot be trained."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Its process was ended; the same command goes on from the checkpoint."""

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left to do."""
        return self in (Status.DONE, Status.PRUNED, Status.INFEASIBLE, Status.FAILED)

    @property
    def well(self) -> bool:
        """Whether it ended as it should, with weights or by the search's decision."""
        return self in (Status.DONE, Status.PRUNED)
