"""How a network is trained: everything besides the network, the data and the seed that changes the result."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le

Schedule = Literal["multistep", "cosine", "constant"]
LossName = Literal["soft_iou", "dice", "bce", "soft_iou_bce"]


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of one training; the bounds are checked where parameters are read.

    Attributes:
        epochs: passes over the training part.
        batch_size: images a step.
        lr: peak learning rate of Adam.
        weight_decay: decoupled (AdamW); 0 is Adam.
        schedule: ``multistep`` (×0.1 at one half and three quarters: the paper's 200 and 300 of 400), ``cosine`` to
            zero, or ``constant``.
        warmup: share of all steps over which the rate rises linearly from zero.
        loss: a name in `datransnet.losses`.
        view: ``resize`` shows whole images at size², as the paper; ``crop`` shows windows at the image's own scale and
            predicts whole images.
        size: height and width of a training image, in pixels.
        target_share: of windows that are placed on a target (``crop`` only).
        zoom: windows are cut at a random scale between 1/zoom and zoom and resized; 1 is off (``crop`` only).
        augment: random flips and quarter turns.
        validate_every: epochs between two looks at the validation part (the last epoch always has one).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    epochs: Annotated[int, Ge(1), Le(10_000)] = 400
    batch_size: Annotated[int, Ge(1), Le(4096)] = 4
    lr: Annotated[float, Gt(0), Le(1)] = 5e-4
    weight_decay: Annotated[float, Ge(0), Le(1)] = 0.0
    schedule: Schedule = "multistep"
    warmup: Annotated[float, Ge(0), Le(0.5)] = 0.0
    loss: LossName = "soft_iou"
    view: Literal["resize", "crop"] = "resize"
    size: Annotated[int, Ge(32), Le(4096)] = 256
    target_share: Annotated[float, Ge(0), Le(1)] = 0.0
    zoom: Annotated[float, Ge(1), Le(4)] = 1.0
    augment: bool = False
    validate_every: Annotated[int, Ge(1)] = 1
