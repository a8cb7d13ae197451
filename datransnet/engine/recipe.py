"""How a network is trained: everything besides the network, the data and the seed that changes the result."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt

from datransnet.data.batch_recipe import BatchRecipe

Schedule = Literal["multistep", "cosine", "one_cycle", "constant"]
LossName = Literal["soft_iou", "soft_iou_image", "dice", "bce", "soft_iou_bce", "sls"]


@dataclass(frozen=True)
class Recipe(BatchRecipe):
    """Hyperparameters of one training, with those of its images; the bounds are checked where parameters are read.

    Attributes:
        epochs: passes over the training part.
        accumulate: steps whose gradients are added up before the weights move.
        lr: peak learning rate of Adam.
        weight_decay: decoupled (AdamW); 0 is Adam.
        schedule: ``multistep`` (×0.1 at one half and three quarters: the paper's 200 and 300 of 400), ``cosine`` to
            zero, ``one_cycle`` (up for three tenths, then down to zero, both as a cosine), or ``constant``.
        warmup: share of all steps over which the rate rises linearly from zero.
        clip: largest norm of the gradient of all weights; 0 is off.
        ema: decay of a running average of the weights a step, which is then what is validated and kept; 0 is off.
        patience: looks at the validation part without a better IoU before training stops; 0 is off.
        precision: ``fp32``, or ``bf16`` for matrix products and convolutions.
        channels_last: weights and images lie in memory pixel by pixel instead of channel by channel, which most
            networks of convolutions are faster with; the same function, with sums in another order. DATransNet's
            always do.
        compile: Inductor compiles the training step, which takes a minute and a C++ compiler; the same function, with
            sums in another order.
        loss: a name in `datransnet.losses`.
        side_weight: weight of each side output, of networks that have some, where the main output's is 1; the loss is
            the weighted mean. 0 trains on the main output alone.
        validate_every: epochs between two looks at the validation part (the last epoch always has one).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    epochs: Annotated[int, Ge(1), Le(10_000)] = 400
    accumulate: Annotated[int, Ge(1), Le(1024)] = 1
    lr: Annotated[float, Gt(0), Le(1)] = 5e-4
    weight_decay: Annotated[float, Ge(0), Le(1)] = 0.0
    schedule: Schedule = "multistep"
    warmup: Annotated[float, Ge(0), Le(0.5)] = 0.0
    clip: Annotated[float, Ge(0)] = 0.0
    ema: Annotated[float, Ge(0), Lt(1)] = 0.0
    patience: Annotated[int, Ge(0)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False
    compile: bool = False
    loss: LossName = "soft_iou"
    side_weight: Annotated[float, Ge(0), Le(10)] = 1.0
    validate_every: Annotated[int, Ge(1)] = 1
