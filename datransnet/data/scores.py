"""Anyone's predictions, from folders of score maps, so that they can be scored beside ours.

A score map is a PNG (8 or 16 bits, black 0 and white 1), a NumPy ``.npy`` or a MATLAB ``.mat`` (one H×W array of
numbers in [0, 1]), called as its mask, or with ``_scores`` behind as our own ``predict`` writes them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from datransnet.data.images import MASK_ABOVE, SUFFIXES, Truth, read_image, read_mask
from datransnet.data.layouts import MASK_ENDINGS
from datransnet.errors import DataError

ENDING, OVERLAY = "_scores", "_overlay"
"""What ``predict`` puts behind an image's name."""
FAINT = 1.5 / 255
"""Above the highest score of a PNG whose levels are 0 and 1: a binary mask, not a score map."""
FORMATS = (".png", ".npy", ".mat")

ScoreMap = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Predictions:
    """Score maps with their masks.

    Attributes:
        ids: N names.
        scores: N files.
        masks: N files.
        missing: ids of masks without a score map.
        above: luminance of a mask above which a pixel is target.
    """

    ids: list[str]
    scores: list[Path]
    masks: list[Path]
    missing: list[str]
    above: int = MASK_ABOVE

    def pair(self, place: int) -> tuple[ScoreMap, Truth]:
        """A score map and its mask, H×W each."""
        return read_scores(self.scores[place]), read_mask(self.masks[place], self.above)


def read_scores(path: Path) -> ScoreMap:
    """A score map H×W.

    Raises:
        DataError: if it is missing, damaged, no such array, or has values outside [0, 1].
    """
    if path.suffix.lower() == ".png":
        return _read_png(path)
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
        else:
            from scipy.io import loadmat  # slow to import, and rarely needed

            found = [
                value for name, value in loadmat(path).items() if not name.startswith("__") and np.ndim(value) == 2
            ]
            if len(found) != 1:
                raise DataError(f"{path} holds {len(found)} two-dimensional arrays. Leave one, the scores.")
            array = found[0]
    except DataError:
        raise
    except Exception as error:  # the readers raise nearly anything on damaged files
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0] if str(error) else error!r}).") from error
    array = np.asarray(array)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise DataError(f"{path} holds {array.dtype} of shape {array.shape}, not an H×W array of numbers.")
    scores: ScoreMap = array if array.dtype == np.float64 else array.astype(np.float32)
    if scores.size == 0 or not (scores.min() >= 0 and scores.max() <= 1):  # False for NaN too
        raise DataError(f"{path} holds values outside [0, 1]. Write scores after the sigmoid.")
    return scores


def _read_png(path: Path) -> ScoreMap:
    """16 bits keep their precision; everything else as `read_image` reads it."""
    levels = read_image(path)  # checks the file
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            scores: ScoreMap = (np.asarray(image, dtype=np.float32) / np.float32(65535)).clip(0, 1)
            return scores
    return levels.astype(np.float32) / np.float32(255)


def find_predictions(scores: Path, masks: Path, allow_missing: bool = False, above: int = MASK_ABOVE) -> Predictions:
    """Match a folder of score maps with a folder of masks.

    Args:
        scores: the score maps; an overlay that ``predict`` wrote beside one is none.
        masks: every mask that is to be scored.
        allow_missing: leave out masks without a score map, and say which, instead of refusing.
        above: luminance of a mask above which a pixel is target.

    Raises:
        DataError: naming every score map that is missing, has another size than its mask, or has no mask; or if no mask
            has a target though some are not black; or if score maps are PNGs of nothing but levels 0 and 1.
    """
    for folder in (scores, masks):
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder}.")
    maps: dict[str, Path] = {}
    there = sorted(path for path in scores.iterdir() if path.suffix.lower() in FORMATS)
    overlays = {path.with_name(f"{path.stem.removesuffix(ENDING)}{OVERLAY}.png") for path in there}
    for path in [path for path in there if path not in overlays]:
        id_ = path.stem.removesuffix(ENDING)
        if id_ in maps:
            raise DataError(f"{scores} holds {maps[id_].name} and {path.name}. Remove one of them.")
        maps[id_] = path
    found = Predictions([], [], [], [], above)
    other_size, targets, faint, brightest = [], False, False, 0.0
    for path in sorted(path for path in masks.iterdir() if path.suffix.lower() in SUFFIXES):
        names = [path.stem.removesuffix(ending) for ending in MASK_ENDINGS]
        id_ = next((name for name in names if name in maps), names[0])
        if id_ not in maps:
            found.missing.append(id_)
            continue
        found.ids.append(id_)
        found.scores.append(maps.pop(id_))
        found.masks.append(path)
        map_, levels = read_scores(found.scores[-1]), read_image(path)
        height, width = map_.shape
        if found.scores[-1].suffix.lower() == ".png":
            brightest = max(brightest, float(map_.max()))
        targets, faint = targets or bool((levels > above).any()), faint or bool(levels.any())
        if (height, width) != levels.shape:
            other_size.append(f"{id_} ({width}×{height}, mask {levels.shape[1]}×{levels.shape[0]})")
    faults = {
        "have no score map": [] if allow_missing else found.missing,
        "have another size than their mask": other_size,
        "have no mask": sorted(maps),
    }
    told = [f"{len(ids)} {what}: {', '.join(ids[:8])}{', …' * (len(ids) > 8)}" for what, ids in faults.items() if ids]
    if told:
        raise DataError(f"{scores} does not fit {masks}: {'; '.join(told)}.")
    if not found.ids:
        raise DataError(f"{scores} holds no score map ({', '.join(FORMATS)}) of a mask in {masks}.")
    if 0 < brightest < FAINT:
        raise DataError(
            f"The PNGs in {scores} are black but for levels 0 and 1. Write target as 255 (or scores × 255)."
        )
    if faint and not targets:
        raise DataError(f"No mask in {masks} has a pixel above {above}, but some are not black: set --mask-above to 0.")
    return found
