"""The command ``predict``: score maps, overlays and a table of detections of images of any size."""

import csv
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import typer
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from datransnet.atomic import atomic_path
from datransnet.components import components
from datransnet.data.images import Luminance, Truth, decode_image, image_size
from datransnet.data.listing import images_in
from datransnet.data.oddities import named
from datransnet.data.score_maps import ENDING, OVERLAY
from datransnet.engine.distributed import check_device
from datransnet.engine.memory_format import ready
from datransnet.engine.predict import ScoreMap, predict_image, tiles
from datransnet.errors import DataError, ParameterError
from datransnet.weights import Foreign, learnt_levels, load_weights

log = logging.getLogger(__name__)

SHRUNK = 2.0
"""Images that are shrunk by more before a network sees them are worth a warning."""
TABLE = "detections.csv"
SIGNATURE = "python -m datransnet predict"
LONGEST = 210
"""The longest name of an output, in bytes. File systems take 255, but while a file is written its name is longer."""
COLUMNS = ("image", "row", "col", "area", "score")


def overlay(image: Luminance, prediction: Truth) -> Image.Image:
    """The image in grey with the outline of the prediction in red, just outside of it."""
    outline = ndimage.binary_dilation(prediction, np.ones((3, 3), dtype=bool)) & ~prediction
    colours = np.repeat(image[:, :, None], 3, axis=2)
    colours[outline] = (230, 40, 40)
    return Image.fromarray(colours)


def detections(scores: ScoreMap, threshold: float) -> list[dict[str, float]]:
    """Connected predictions: centroid (row, col, in pixels), area in pixels, highest score."""
    found = components(scores > threshold)
    return [
        {
            "row": round(row, 2),
            "col": round(column, 2),
            "area": int(found.areas[index]),
            "score": round(float(scores[found.labels == index + 1].max()), 4),
        }
        for index, (row, column) in enumerate(found.centroids.tolist())
    ]


def predict_command(
    named_paths: list[Path], weights: Path, out: Path, threshold: float, foreign: Foreign, device: str
) -> None:
    """Write NAME_scores.png (16 bits) and NAME_overlay.png of each image, and detections.csv.

    Calls into one folder add up: the table keeps the rows of images that this call does not read.

    Raises:
        DataError: naming the images that cannot be read, once all others are done.
    """
    check_device(device)
    paths, faults = _images(named_paths)
    known = _known_rows(out / TABLE)
    _check_outputs(out, paths)
    model, recipe = load_weights(weights, foreign)
    levels = learnt_levels(weights)
    ready(model, device)
    out.mkdir(parents=True, exist_ok=True)
    rows, poor, done, shrunk = list[dict[str, Any]](), list[str](), list[Path](), 1.0
    lengths = [tiles(image_size(path), recipe) for path in paths]
    with typer.progressbar(length=sum(lengths), file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        for path, length in zip(paths, lengths, strict=True):
            try:
                decoded = decode_image(path, levels)
            except DataError as error:
                faults.append(str(error))
                bar.update(length)
                continue
            image, names = decoded.pixels, _outputs(out, path)
            poor += [path.name] * decoded.loses_levels
            if recipe.view == "resize":
                shrunk = max(shrunk, max(image.shape) / recipe.size)
            scores = predict_image(model, image, recipe, device, each=lambda: bar.update(1))
            pictures = Image.fromarray(np.rint(scores * 65535).astype(np.uint16)), overlay(image, scores > threshold)
            for name, picture in zip(names, pictures, strict=True):
                with atomic_path(name) as partial:
                    picture.save(partial, format="PNG", compress_level=1, pnginfo=_signature())
            rows += [{"image": path.name, **found} for found in detections(scores, threshold)]
            done.append(path)
    if done:
        new = {path.stem for path in done}
        _write_rows(out / TABLE, [*(row for row in known if Path(row["image"]).stem not in new), *rows])
    if poor:
        log.warning(
            "%d images keep few of their levels (%s): train with data.levels (--levels) that fit them.",
            len(poor),
            named(poor),
        )
    print(f"{out}: {len(rows)} detections in {len(done)} images.")
    if shrunk > SHRUNK:
        log.warning(
            "These weights see every image at %d² pixels, as they were trained: the largest was shrunk %.1f times, and "
            "small targets may vanish in that. Cut images into pieces, or train with --view crop.",
            recipe.size,
            shrunk,
        )
    if faults:
        raise DataError(" ".join(faults))


def _images(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The image files that are named, those of a named folder in order; and what is wrong with folders that hold none.

    Raises:
        ParameterError: if two would be written under one name.
    """
    found, faults = list[Path](), list[str]()
    for path in paths:
        images = _in_folder(path) if path.is_dir() else [path]
        if not images:
            inside = [child.name for child in sorted(path.iterdir()) if child.is_dir() and child.name[0] != "."]
            hint = f" Name one of its folders: {named(inside)}." if inside else ""
            faults.append(f"{path} is a folder without an image.{hint}")
        found += images
    names = Counter(image.stem for image in found)
    if twice := [stem for stem, number in names.items() if number > 1]:
        raise ParameterError(f"Two images are called {twice[0]}: their outputs would overwrite each other.")
    return found, faults


def _in_folder(folder: Path) -> list[Path]:
    """Images of a folder without what this command has written there."""
    return [path for path in images_in(folder)[0] if not (path.stem.endswith((ENDING, OVERLAY)) and _is_ours(path))]


def _outputs(out: Path, image: Path) -> tuple[Path, Path]:
    """Where the score map and the overlay of an image go."""
    return out / f"{image.stem}{ENDING}.png", out / f"{image.stem}{OVERLAY}.png"


def _signature() -> PngInfo:
    """What a picture of this command says of itself, so that a later call knows that it may write over it."""
    signature = PngInfo()
    signature.add_text("Software", SIGNATURE)
    return signature


def _check_outputs(out: Path, images: Sequence[Path]) -> None:
    """See that nothing is written over but what this command has written.

    Raises:
        ParameterError: if a file stands in the way, or has too long a name.
    """
    inputs = {image.resolve() for image in images}
    for image in images:
        for path in _outputs(out, image):
            if path.is_dir() or path.resolve() in inputs or (path.is_file() and not _is_ours(path)):
                raise ParameterError(f"{path} is not of this command, which would write over it. Choose another --out.")
            if len(path.name.encode()) > LONGEST:
                raise ParameterError(f"The name {image.name} is too long to write {path.name}. Rename the image.")


def _is_ours(path: Path) -> bool:
    with suppress(Exception), Image.open(path) as image:
        return image.info.get("Software") == SIGNATURE
    return False


def _known_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of the table that earlier calls have written.

    Raises:
        DataError: if it has other columns: it is somebody else's.
    """
    if not path.exists():
        return []
    try:
        with path.open("r", newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            columns, rows = tuple(table.fieldnames or COLUMNS), list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a table of this command ({error}). Choose another --out.") from error
    if columns != COLUMNS or any(None in row or not all(row.values()) for row in rows):
        raise DataError(f"{path} is not a table of this command: it has other columns. Choose another --out.")
    return rows


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
