"""What one training occupies on the machine where it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Seat:
    """What one training occupies on the machine where it runs.

    Attributes:
        processes: that train together, each with ``cpus`` threads and, on a GPU, one of its own.
        cpus: threads of each process.
        device: where torch works, ``cpu`` or ``cuda``.
    """

    processes: int = 1
    cpus: int = 1
    device: str = "cpu"

    @property
    def device_here(self) -> str:
        """Where torch works in this process, which need not have the GPU that the training has."""
        if self.device == "cpu":
            return "cpu"
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
