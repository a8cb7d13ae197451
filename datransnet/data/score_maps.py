"""Anyone's predictions, from folders of score maps, so that they can be scored beside ours.

A score map is a PNG (8 or 16 bits, black 0 and white 1), a NumPy ``.npy`` or a MATLAB ``.mat`` (one H×W array of
numbers in [0, 1]), called as its mask, or with ``_scores`` behind as our own ``predict`` writes them, or with another
of the endings that scripts of the field use.
"""

import logging
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt

from datransnet.data.images import Truth, decode_image, open_image
from datransnet.data.layouts import MASK_ENDINGS, by_stem
from datransnet.data.listing import is_foreign
from datransnet.data.masks import MASK_ABOVE, decode_mask, lost_palette
from datransnet.data.oddities import named
from datransnet.data.pairs import PairReader
from datransnet.errors import DataError

log = logging.getLogger(__name__)

ENDING, OVERLAY = "_scores", "_overlay"
"""What ``predict`` puts behind an image's name."""
ENDINGS = (ENDING, "_pred", "_score", "_prob", "_predict", "_prediction", "_out", "_output", "_result", "_sal")
"""What may stand behind a score map's name, in any case, where no mask is called so."""
BESIDE = (OVERLAY, "_gt", "_label", "_mask")
"""What scripts write beside a score map: no score map itself."""
FAINT = 1.5 / 255
"""Above the highest score of a PNG whose levels are 0 and 1: a binary mask, not a score map."""
DIM = 0.1
"""A folder without a brighter score is worth a word."""
FORMATS = (".png", ".npy", ".mat")

ScoreMap = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Predictions:
    """The score maps of a folder, each with its mask.

    Attributes:
        ids: names of the N images.
        scores: the N files of score maps, in the order of ``ids``.
        masks: the N files of masks, in that order.
        missing: ids of the masks that have no score map.
        above: pixels of a mask are target if their level, from 0 to 255, is above this.
    """

    ids: list[str]
    scores: list[Path]
    masks: list[Path]
    missing: list[str]
    above: int = MASK_ABOVE

    def pair(self, place: int) -> tuple[ScoreMap, Truth]:
        """A score map and its mask, H×W each."""
        return read_scores(self.scores[place]), decode_mask(self.masks[place], self.above).target


def read_scores(path: Path) -> ScoreMap:
    """A score map H×W.

    Raises:
        DataError: if it is missing or damaged, is no array H×W, or has values outside [0, 1].
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
    """16 bits keep their precision; everything else as 8-bit grey.

    Raises:
        DataError: if it is coloured: a heat map's colours do not tell its scores.
    """
    with open_image(path) as stored:
        image = stored.image
        if stored.orientation > 1:
            raise DataError(f"{path} is stored turned (EXIF). Save it upright.")
        if image.mode.startswith("I"):
            scores: ScoreMap = (np.asarray(image, dtype=np.float32) / np.float32(65535)).clip(0, 1)
            return scores
        if stored.deep_colour:
            raise DataError(f"{path} has 16 bits a colour. Save its scores with one channel.")
        if image.mode in ("P", "PA") and lost_palette(image):
            raise DataError(f"{path} has a palette that gives several of its indices one colour. Save it as grey.")
        if image.mode not in ("1", "L"):
            pixels = np.asarray(image.convert("RGBA"))
            if np.ptp(pixels[..., :3], axis=2).any() or np.ptp(pixels[..., 3]):
                raise DataError(
                    f"{path} is a coloured picture, not a score map. Save the scores themselves: grey × 255."
                )
    return decode_image(path).pixels.astype(np.float32) / np.float32(255)


def find_predictions(scores: Path, masks: Path, allow_missing: bool = False, above: int = MASK_ABOVE) -> Predictions:
    """Match a folder of score maps with a folder of masks.

    Args:
        scores: the score maps; an overlay that ``predict`` wrote beside one is none.
        masks: every mask that is to be scored.
        allow_missing: leave out masks without a score map, and say which, instead of refusing.
        above: of 255: levels of a mask above this are target; see `datransnet.data.masks`.

    Raises:
        DataError: naming every score map that is missing, has another size than its mask, or has no mask; or if it is
            not certain what of a mask is target; or if score maps are coloured, or PNGs of nothing but levels 0 and 1.
    """
    for folder in (scores, masks):
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder}.")
    truths = by_stem(masks, masks)[0]
    maps = _score_maps(scores, {name for stem in truths for name in _names(stem)})
    found = Predictions([], [], [], [], above)
    reader, brightest, other_size = PairReader(str(masks), above), 0.0, list[str]()
    for stem, path in truths.items():
        id_ = next((name for name in _names(stem) if name in maps), _names(stem)[0])
        if id_ not in maps:
            found.missing.append(id_)
            continue
        found.ids.append(id_)
        found.scores.append(maps.pop(id_))
        found.masks.append(path)
        map_, mask = read_scores(found.scores[-1]), decode_mask(path, above)
        if mask.orientation > 1:
            raise DataError(f"{path} is stored turned (EXIF), its score map may lie either way. Save it upright.")
        reader.judge(path, mask)
        if found.scores[-1].suffix.lower() == ".png":
            brightest = max(brightest, float(map_.max()))
        if map_.shape != mask.target.shape:
            (height, width), (mask_height, mask_width) = map_.shape, mask.target.shape
            other_size.append(f"{id_} ({width}×{height}, mask {mask_width}×{mask_height})")
    faults = {
        "have no score map": [] if allow_missing else found.missing,
        "have another size than their mask": other_size,
        "have no mask": sorted(maps),
    }
    told = [f"{len(ids)} {what}: {named(ids, 8)}" for what, ids in faults.items() if ids]
    if told:
        raise DataError(f"{scores} does not fit {masks}: {'; '.join(told)}.")
    if not found.ids:
        raise DataError(f"{scores} holds no score map ({', '.join(FORMATS)}) of a mask in {masks}.")
    if 0 < brightest < FAINT:
        raise DataError(
            f"The PNGs in {scores} are black but for levels 0 and 1. Write target as 255 (or scores × 255)."
        )
    if 0 < brightest < DIM:
        log.warning(
            "The brightest score in %s is %.3f. Do its files hold fewer bits than their format?", scores, brightest
        )
    reader.check_masks(len(found.ids), without_targets=True)  # false alarms can be counted without one
    return found


def _names(stem: str) -> list[str]:
    """What the image of a mask may be called."""
    return [stem.removesuffix(ending) for ending in MASK_ENDINGS]


def _score_maps(folder: Path, wanted: set[str]) -> dict[str, Path]:
    """Score maps of a folder by the image they belong to; what lies beside one, such as an overlay, is none.

    Raises:
        DataError: if two belong to one image.
    """
    there = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in FORMATS and not is_foreign(PurePath(path.name))
    )
    maps: dict[str, Path] = {}
    beside: dict[str, Path] = {}
    for path in there:
        stem = unicodedata.normalize("NFC", path.stem)
        names = [stem, *(stem[: -len(end)] for end in ENDINGS if stem.lower().endswith(end))]
        id_ = next((name for name in names if name in wanted), None)
        if id_ is None and any(stem.lower().endswith(end) for end in BESIDE):
            beside[stem] = path
            continue
        id_ = id_ or stem.removesuffix(ENDING)
        if id_ in maps:
            raise DataError(f"{folder} holds {maps[id_].name} and {path.name}. Remove one of them.")
        maps[id_] = path
    for stem, path in beside.items():
        if stem.rpartition("_")[0] not in maps:
            maps[stem] = path  # beside nothing: a score map of no mask
    return maps
