"""Synthetic infrared scenes with small targets of known contrast: the embedded default, tests, detection limits.

A scene is a background with a power-law spectrum (cloud, sea below a horizon, ground clutter), fixed-pattern column
stripes and sensor noise. Targets are Gaussian point spreads at sub-pixel positions whose peak exceeds the local mean by
a **set local SCR** (signal-to-clutter ratio: peak minus local mean over local standard deviation, in a window three
times the target's extent). The mask is where a target's own signal is at least half its peak. Single hot pixels act as
decoys. Each image is seeded by its index alone, so image 7 does not depend on how many there are.
"""

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datransnet.data.images import Luminance, Truth, write_png
from datransnet.data.inventory import inventoried
from datransnet.seeding import derive_seed

Field = npt.NDArray[np.float64]

MASK_FRACTION = 0.5
EMPTY_SHARE = 0.1
LOWEST_SCR, HIGHEST_SCR = 3.0, 12.0
BRIGHTEST = 250.0
SMALLEST_SIGMA, LARGEST_SIGMA = 0.6, 2.0


@dataclass(frozen=True)
class Target:
    """A target of a scene.

    Attributes:
        row: of its centre, in pixels.
        column: of its centre, in pixels.
        sigma: of the point spread along its short axis, in pixels.
        elongation: long over short axis.
        scr: local signal-to-clutter ratio; less than drawn where 8 bits end.
        clutter: local standard deviation of the background, in grey levels.
        pixels: of its mask.
    """

    row: float
    column: float
    sigma: float
    elongation: float
    scr: float
    clutter: float
    pixels: int


def power_law(rng: np.random.Generator, size: int, exponent: float, stretch: float = 1.0) -> Field:
    """A random size×size field of unit variance whose power falls as frequency^-exponent.

    ``stretch`` above 1 draws it out horizontally.
    """
    rows = np.fft.fftfreq(size)[:, None]
    columns = np.fft.rfftfreq(size)[None, :] * stretch
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * frequency ** (-exponent / 2)
    texture = np.fft.irfft2(spectrum, s=(size, size))
    scaled: Field = texture / texture.std()
    return scaled


def _cloud(rng: np.random.Generator, size: int) -> Field:
    return 70 + 12 * power_law(rng, size, rng.uniform(2.4, 3.2))


def _sea(rng: np.random.Generator, size: int) -> Field:
    horizon = rng.integers(size // 5, size // 2)
    sky = 100 + 5 * power_law(rng, size, 3.0)
    waves = 65 + 8 * power_law(rng, size, 1.6, stretch=0.4)
    below = 1 / (1 + np.exp(-(np.arange(size)[:, None] - horizon)))
    blended: Field = sky * (1 - below) + waves * below
    return blended


def _ground(rng: np.random.Generator, size: int) -> Field:
    return 70 + 10 * power_law(rng, size, 2.0) + 6 * (power_law(rng, size, 2.4) > 0.8)


BACKGROUNDS: tuple[Callable[[np.random.Generator, int], Field], ...] = (_cloud, _sea, _ground)


def _point_spread(size: int, row: float, column: float, sigma: float, elongation: float, angle: float) -> Field:
    """A Gaussian of peak 1 at a sub-pixel position."""
    down, right = np.arange(size)[:, None] - row, np.arange(size)[None, :] - column
    along = right * np.cos(angle) + down * np.sin(angle)
    across = down * np.cos(angle) - right * np.sin(angle)
    spread: Field = np.exp(-0.5 * ((along / (sigma * elongation)) ** 2 + (across / sigma) ** 2))
    return spread


def _add_target(rng: np.random.Generator, scene: Field, mask: Truth) -> Target:
    """Draw a target into the scene and its mask."""
    size = len(scene)
    row, column = rng.uniform(1, size - 2, size=2)  # at the border, but with its peak inside
    sigma, elongation = rng.uniform(SMALLEST_SIGMA, LARGEST_SIGMA), rng.uniform(1, 1.6)
    scr = rng.uniform(LOWEST_SCR, HIGHEST_SCR)
    extent = 3 * int(np.ceil(2 * sigma * elongation))
    top, left = max(0, int(row) - extent), max(0, int(column) - extent)
    local = scene[top : int(row) + extent + 1, left : int(column) + extent + 1]
    mean, clutter = float(local.mean()), float(local.std())
    signal = _point_spread(size, row, column, sigma, elongation, rng.uniform(0, np.pi))
    signal /= signal.max()
    own = signal >= MASK_FRACTION
    at = np.unravel_index(signal.argmax(), signal.shape)
    peak = min(mean + scr * clutter, BRIGHTEST)
    scene += (peak - scene[at]) * signal
    mask |= own
    return Target(float(row), float(column), sigma, elongation, (peak - mean) / clutter, clutter, int(own.sum()))


def scene(seed: int, index: int, size: int) -> tuple[Luminance, Truth, list[Target]]:
    """Image number ``index``: size×size luminance, mask, and its targets.

    >>> image, mask, targets = scene(seed=1, index=7, size=64)
    >>> image.shape, image.dtype.name, bool(mask.any()) == bool(targets)
    ((64, 64), 'uint8', True)
    """
    rng = np.random.default_rng(derive_seed(seed, "scene", index))
    canvas = BACKGROUNDS[rng.integers(len(BACKGROUNDS))](rng, size)
    canvas += rng.normal(0, 1.0, size=(1, size))  # column stripes
    canvas += rng.normal(0, rng.uniform(1, 3), size=(size, size))
    mask = np.zeros((size, size), dtype=bool)
    number = 0 if rng.random() < EMPTY_SHARE else int(rng.integers(1, 4))
    targets = [_add_target(rng, canvas, mask) for _ in range(number)]
    decoys = rng.integers(size, size=(int(rng.integers(0, 3)), 2))
    for row, column in decoys:
        if not mask[row, column]:
            canvas[row, column] += rng.uniform(20, 60)
    return np.rint(canvas.clip(0, 255)).astype(np.uint8), mask, targets


def generate(folder: Path, counts: dict[str, int], size: int, seed: int) -> None:
    """Write scenes as a dataset: ``images/``, ``masks/``, ``generated/<part>.txt``, and ``targets.csv``.

    Args:
        folder: written whole or not at all.
        counts: part (train, val, test) → number of images.
        size: height and width in pixels.
        seed: of the dataset.
    """
    with inventoried(folder) as partial:
        for name in ("images", "masks", "generated"):
            (partial / name).mkdir(parents=True)
        with (partial / "targets.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["id", *(field.name for field in fields(Target))])
            table.writeheader()
            for part, number in counts.items():
                ids = [f"{part}_{index:05d}" for index in range(number)]
                (partial / "generated" / f"{part}.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
                for index, id_ in enumerate(ids):
                    image, mask, targets = scene(derive_seed(seed, part), index, size)
                    write_png(partial / "images" / f"{id_}.png", image)
                    write_png(partial / "masks" / f"{id_}.png", mask.astype(np.uint8) * 255)
                    table.writerows({"id": id_, **asdict(target)} for target in targets)
