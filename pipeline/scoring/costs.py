"""``results/cost.json``: what networks take, and what their training took."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunCost:
    """What a network takes, and what its training took.

    Attributes:
        parameters: their number.
        operations: on one image of ``size``, two for a multiply-add.
        latency: median milliseconds of one forward pass as it predicts; infinite where memory does not suffice.
        size: height and width of that image, in pixels; as many pixels as the median image of the test part has.
        threads: of the CPU.
        device: on which the latency was measured.
        training: seconds of all epochs, null where the run's record is gone.
        environment: versions and machine of the training.
        git: revision of the code that trained.
        memory_formats: milliseconds by that of the weights; ``latency`` is one of them.
    """

    parameters: int
    operations: int
    latency: float
    size: int
    threads: int
    device: str
    training: float | None
    environment: dict[str, str]
    git: str
    memory_formats: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodCost:
    """What a classical method takes.

    Attributes:
        latency: median milliseconds of an image of the test part.
        size: height and width of a square image with as many pixels as the median one.
        threads: of the CPU.
        device: on which that was measured.
    """

    latency: float
    size: int
    threads: int
    device: str


@dataclass(frozen=True)
class Costs:
    """``results/cost.json``.

    Attributes:
        runs: run key → cost.
        searches: name of a network → seconds that the trials of its search were trained, all together; null where a
            record is gone.
        methods: name of a classical method → what it takes.
    """

    runs: dict[str, RunCost]
    searches: dict[str, float | None]
    methods: dict[str, MethodCost]
