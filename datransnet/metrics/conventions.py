"""What the field's evaluation scripts mean by Pd and Fa, as data.

The choice matters: on 24 images of SIRST the same predictions have a Pd of 0.93 under one definition and 0.60 under
another.
"""

from dataclasses import dataclass
from typing import Literal

from datransnet.errors import ParameterError, did_you_mean


@dataclass(frozen=True)
class Convention:
    """One published definition of the target metrics. IoU, nIoU and pixel accuracy are at ``score > 0.5`` in all.

    Attributes:
        name: how results are labelled.
        scaled: divide each image's scores by their maximum before the threshold for Pd, Fa, precision, recall and F1.
            It makes the brightest pixel of every image a detection, also where nothing is there.
        fa: ``"components"`` counts the pixels of the unused components; ``"areas"`` leaves out every component whose
            area *equals* that of a used one, as released scripts do that keep a list of areas.
        source: whose code it is.
    """

    name: str
    scaled: bool
    fa: Literal["components", "areas"]
    source: str


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("basicirstd", False, "components", "BasicIRSTD and the works built on it"),
        Convention("sctransnet", False, "areas", "SCTransNet; DNA-Net and MSHNet at fixed thresholds"),
        Convention("datransnet", True, "areas", "the DATransNet release"),
    )
}


def convention_named(name: str) -> Convention:
    """The convention of that name.

    Raises:
        ParameterError: if there is none.
    """
    if name not in CONVENTIONS:
        raise ParameterError(f"There is no convention {name!r}. {did_you_mean(name, list(CONVENTIONS))}")
    return CONVENTIONS[name]
