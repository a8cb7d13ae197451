"""How long one image takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """How long one image takes.

    Attributes:
        latency: median milliseconds; infinite where memory does not suffice.
        size: height and width of the image, in pixels.
        threads: of the CPU.
        device: name of the machine or of its GPU.
    """

    latency: float
    size: int
    threads: int
    device: str
