"""What the field's evaluation scripts mean by IoU, Pd and Fa, as data.

The choice matters: on 24 images of SIRST the same predictions have a Pd of 0.93 under one definition and 0.60 under
another.
"""

from dataclasses import dataclass
from typing import Literal

from datransnet.errors import ParameterError, did_you_mean


@dataclass(frozen=True)
class Convention:
    """One published definition of the metrics; IoU, nIoU and pixel accuracy are at ``score > 0.5`` in all.

    Attributes:
        name: how results are labelled.
        scaled: divide each image's scores by their maximum before the threshold for Pd, Fa, precision, recall and F1.
            It makes the brightest pixel of every image a detection, also where nothing is there.
        fa: ``"components"`` counts the pixels of the unused components; ``"areas"`` leaves out every component whose
            area *equals* that of a used one, as released scripts do that keep a list of areas; ``"pixels"`` knows no
            components: a target is detected if a pixel in reach of it is predicted, and all predicted pixels out of
            range of every target are false alarms.
        source: whose code it is.
        scaled_iou: divide by the maximum for IoU, nIoU and pixel accuracy too.
        empty: whether images without a target count; where they do not, nothing of them does.
        grey: pixels of a mask between black and white that count as target are like white ones (``"target"``), or are
            never matched (``"unmatched"``), as in released scripts that ask whether a prediction equals mask / 255:
            such a pixel is in the union, and where it is predicted, in it twice. Only masks given as shares of white
            hold any; those of a study are black and white.
        reach: of ``"pixels"``: rows and columns around a target's pixels where a predicted pixel detects it.
        margin: of ``"pixels"``: rows and columns around targets' pixels where a predicted pixel is no false alarm.
        over: what Fa is a share of: all pixels of the ``"image"``, or those of its ``"background"``.
    """

    name: str
    scaled: bool
    fa: Literal["components", "areas", "pixels"]
    source: str
    scaled_iou: bool = False
    empty: bool = True
    grey: Literal["target", "unmatched"] = "target"
    reach: int = 0
    margin: int = 0
    over: Literal["image", "background"] = "image"


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("basicirstd", False, "components", "BasicIRSTD and the works built on it"),
        Convention("sctransnet", False, "areas", "SCTransNet; DNA-Net and MSHNet at fixed thresholds"),
        Convention("datransnet", True, "areas", "the DATransNet release"),
        Convention("lesps", False, "areas", "LESPS, and BasicIRSTD before 2024-01-25", grey="unmatched"),
        Convention("rpcanet", True, "pixels", "RPCANet and L-RPCANet", scaled_iou=True, empty=False, over="background"),
        Convention("drpcanet", True, "areas", "DRPCA-Net", scaled_iou=True),
        Convention("shooting", False, "pixels", "the shooting rule of pyirstdmetrics, after DTUM", reach=1, margin=4),
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
