"""Anyone's predictions, from folders of score maps, so that they can be scored beside ours.

A score map is a PNG (8 or 16 bits, black 0 and white 1), a NumPy ``.npy`` or a MATLAB ``.mat`` (one H×W array of
numbers in [0, 1]), called as its mask, or with ``_scores`` behind as our own ``predict`` writes them, or with another
of the endings that scripts of the field use.
"""

import logging
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from datransnet.data.images import decode_image, open_image
from datransnet.data.layouts import MASK_ENDINGS, by_stem, read_list
from datransnet.data.listing import is_foreign
from datransnet.data.masks import MASK_ABOVE, decode_mask, lost_palette, resized, resized_by_corners
from datransnet.data.oddities import named
from datransnet.data.pairs import PairReader
from datransnet.errors import DataError, ParameterError, did_you_mean

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

OtherSize = Literal["exclude", "resize_mask", "resize_mask_by_corners"]
"""What to do with a mask whose size is not its score map's: leave both out, or resize the mask to the map's size,
nearest neighbour as in Pillow or as in OpenCV (`datransnet.data.masks.resized_by_corners`)."""


def other_size_named(text: str | None) -> OtherSize | None:
    """The treatment of masks of another size as a command's option names it.

    Raises:
        ParameterError: if there is none of that name.
    """
    known = list(get_args(OtherSize))
    if text is not None and text not in known:
        raise ParameterError(f"mismatch = {text!r} must be one of {', '.join(known)}. {did_you_mean(text, known)}")
    return cast(OtherSize | None, text)


@dataclass(frozen=True)
class Reading:
    """How a folder of score maps is read beside its masks.

    Attributes:
        allow_missing: leave out masks without a score map, and say which, instead of refusing.
        above: of 255: levels of a mask above this are target; see `datransnet.data.masks`.
        ids: a list of the images to score, as `datransnet.data.layouts.read_list` reads it; all if not given.
        logits: the maps hold logits, to which the sigmoid is applied.
        mismatch: see `OtherSize`; None refuses masks of another size.
    """

    allow_missing: bool = False
    above: int = MASK_ABOVE
    ids: Path | None = None
    logits: bool = False
    mismatch: OtherSize | None = None


@dataclass(frozen=True)
class Predictions:
    """The score maps of a folder, each with its mask.

    Attributes:
        ids: names of the N images.
        scores: the N files of score maps, in the order of ``ids``.
        masks: the N files of masks, in that order.
        missing: ids of the masks that have no score map.
        other_size: ids of the masks whose size is not their score map's: left out or resized.
        reading: how they are read.
    """

    ids: list[str] = field(default_factory=list)
    scores: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    other_size: list[str] = field(default_factory=list)
    reading: Reading = Reading()

    def pair(self, place: int) -> tuple[ScoreMap, npt.NDArray[np.float32]]:
        """A score map and its mask as shares of white, H×W each."""
        scores = read_scores(self.scores[place], self.reading.logits)
        mask = decode_mask(self.masks[place], self.reading.above).shares()
        if mask.shape == scores.shape:
            return scores, mask
        resize = resized_by_corners if self.reading.mismatch == "resize_mask_by_corners" else resized
        return scores, resize(mask, *scores.shape)


def read_scores(path: Path, logits: bool = False) -> ScoreMap:
    """A score map H×W.

    Args:
        path: the file.
        logits: it holds logits, to which the sigmoid is applied.

    Raises:
        DataError: if it is missing or damaged, is no array H×W, or has values outside [0, 1]; or is to hold logits and
            is a PNG, or holds what is no number.
    """
    if path.suffix.lower() == ".png":
        if logits:
            raise DataError(f"{path} is a PNG, which cannot hold logits. Save them as .npy.")
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
    if logits:
        if not np.isfinite(scores).all():
            raise DataError(f"{path} holds values that are no numbers. Save the network's logits.")
        return np.asarray(expit(scores))
    if scores.size == 0 or not (scores.min() >= 0 and scores.max() <= 1):  # False for NaN too
        raise DataError(
            f"{path} holds values outside [0, 1]. Write scores after the sigmoid, or use --logits if they are logits."
        )
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


def find_predictions(scores: Path, masks: Path, reading: Reading = Reading()) -> Predictions:
    """Match a folder of score maps with a folder of masks.

    Args:
        scores: the score maps; an overlay that ``predict`` wrote beside one is none.
        masks: every mask that is to be scored, unless ``reading`` names the images.
        reading: how both are read.

    Raises:
        DataError: naming every score map that is missing, has another size than its mask, or has no mask; or if it is
            not certain what of a mask is target; or if score maps are coloured, or PNGs of nothing but levels 0 and 1.
    """
    for folder in (scores, masks):
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder}.")
    truths = _wanted(masks, reading.ids)
    maps = _score_maps(scores, {name for stem in truths for name in _names(stem)})
    found = Predictions(reading=reading)
    reader, brightest, other_size = PairReader(str(masks), reading.above), 0.0, list[str]()
    for stem, path in truths.items():
        id_ = next((name for name in _names(stem) if name in maps), _names(stem)[0])
        if id_ not in maps:
            found.missing.append(id_)
            continue
        file = maps.pop(id_)
        map_, mask = read_scores(file, reading.logits), decode_mask(path, reading.above)
        if mask.orientation > 1:
            raise DataError(f"{path} is stored turned (EXIF), its score map may lie either way. Save it upright.")
        reader.judge(path, mask)
        if file.suffix.lower() == ".png":
            brightest = max(brightest, float(map_.max()))
        if map_.shape != mask.target.shape:
            (height, width), (mask_height, mask_width) = map_.shape, mask.target.shape
            other_size.append(f"{id_} ({width}×{height}, mask {mask_width}×{mask_height})")
            found.other_size.append(id_)
            if reading.mismatch == "exclude":
                continue
        found.ids.append(id_)
        found.scores.append(file)
        found.masks.append(path)
    faults = {
        "have no score map": [] if reading.allow_missing else found.missing,
        "have another size than their mask": [] if reading.mismatch else other_size,
        "have no mask": [] if reading.ids else sorted(maps),
    }
    told = [f"{len(ids)} {what}: {named(ids, 8)}" for what, ids in faults.items() if ids]
    if told:
        remedy = " See --mismatch for masks of another size." if other_size and not reading.mismatch else ""
        raise DataError(f"{scores} does not fit {masks}: {'; '.join(told)}.{remedy}")
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
    if rounded := sum(path.suffix.lower() == ".png" for path in found.scores):
        log.warning(
            "%d of %d score maps in %s are PNGs, whose scores are rounded: areas under curves, and conventions that "
            "divide by an image's maximum, are of the rounded ones. Save .npy where they matter.",
            rounded,
            len(found.scores),
            scores,
        )
    reader.check_masks(len(found.ids), without_targets=True)  # false alarms can be counted without one
    return found


def _wanted(masks: Path, ids: Path | None) -> dict[str, Path]:
    """The masks of a folder by their names without ending; only those of a list, if there is one.

    Raises:
        DataError: if the list names an image that has no mask.
    """
    truths = by_stem(masks, masks)[0]
    if ids is None:
        return truths
    of_image = {name: stem for stem in truths for name in _names(stem)}
    listed = read_list(ids, of_image)
    if without := [id_ for id_ in listed if id_ not in of_image]:
        raise DataError(f"{ids} names {len(without)} images without a mask in {masks}: {named(without, 8)}.")
    return {of_image[id_]: truths[of_image[id_]] for id_ in listed}


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
