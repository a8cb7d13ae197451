"""Methods without training against ISTD-python's own code, and against their definitions, pixel by pixel."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from datransnet.__main__ import app
from datransnet.classical import METHODS, infrared_patch_image, max_median, partial_tensor_rank, scaled
from datransnet.classical.low_rank import nonconvex_rank
from datransnet.classical.patches import Patches
from tests.conftest import OUTSIDE

RELEASED = {
    "tophat": METHODS["tophat"],
    "maxmedian": lambda image: max_median(image, released=True),
    "maxmedian_paper": max_median,
    "lcm": METHODS["lcm"],
    "mpcm": METHODS["mpcm"],
    "ipi": lambda image: infrared_patch_image(image, released=True),
    "ipi_paper": infrared_patch_image,
    "pstnn": partial_tensor_rank,
}
"""Golden name → ours; ``_paper`` where the released code has a slip that ours has only on demand."""


def scene(height=48, width=56, seed=0):
    """A grey ramp with noise, and one target."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width]
    spot = np.exp(-((row - 20) ** 2 + (column - 30) ** 2) / 4.5)
    return np.round(12 * rng.random((height, width)) + 60 + 0.2 * row + 0.1 * column + 80 * spot)


@pytest.mark.parametrize("name", RELEASED)
def test_maps_equal_those_of_the_public_code(name):
    file = OUTSIDE / "golden/networks/classic.npz"
    if not file.exists():
        pytest.skip("needs the golden maps, which are not part of the project")
    golden = np.load(file)
    assert np.abs(RELEASED[name](golden["image"]) - golden[name]).max() < 1e-9


@pytest.mark.parametrize("name", list(METHODS))
def test_a_bright_spot_stands_out_most(name):
    response = METHODS[name](scene(90, 100))
    row, column = np.unravel_index(response.argmax(), response.shape)
    assert np.hypot(row - 20, column - 30) <= 2
    assert response.shape == (90, 100)


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("shape", [(1, 1), (7, 60), (33, 41)])
@pytest.mark.parametrize("level", [0, 100])
def test_flat_images_of_any_size_have_finite_maps_with_nothing_in_them(name, shape, level):
    response = METHODS[name](np.full(shape, float(level)))
    assert response.shape == shape
    assert np.isfinite(response).all()
    assert scaled(response - np.minimum(response.min(), response)).max() <= 1


@given(st.sampled_from(["tophat", "maxmedian", "lcm", "mpcm", "tllcm", "wslcm"]), st.integers(0, 3), st.booleans())
def test_a_turned_or_flipped_image_has_a_turned_or_flipped_map(name, turns, flipped):
    def moved(x):
        return np.rot90(np.flip(x, 1) if flipped else x, turns)

    image = scene(30, 34)
    assert np.allclose(METHODS[name](np.ascontiguousarray(moved(image))), moved(METHODS[name](image)), atol=1e-8)


def cell(image, row, column, size, outside):
    """The pixels of a cell, with zero or the edge's pixels outside of the image."""
    reach = 3 * size
    padded = np.pad(image, reach, "edge") if outside == "edge" else np.pad(image, reach)
    top, left = row + reach - size // 2, column + reach - size // 2
    return padded[top : top + size, left : left + size]


def core(image, row, column):
    weights = np.outer([1, 2, 1], [1, 2, 1]) / 16
    return (cell(image, row, column, 3, "edge") * weights).sum()


def largest(image, row, column, size):
    return np.sort(cell(image, row, column, size, "zero"), axis=None)[-9:].mean()


def around(size):
    return [(size * row, size * column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]


@pytest.mark.parametrize(("row", "column"), [(20, 30), (0, 0), (47, 3), (25, 55)])
def test_tllcm_is_its_definition(row, column):
    image = scene()
    brightest = max(largest(image, row + r, column + c, 9) for r, c in around(9))
    g = core(image, row, column)
    expected = max(g * g / brightest - g, 0) if brightest > 0 else 0
    assert METHODS["tllcm"](image)[row, column] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("row", "column"), [(20, 30), (0, 0), (47, 3), (25, 55)])
def test_wslcm_is_its_definition(row, column):
    image = scene()
    median = np.zeros_like(image)
    for r in range(image.shape[0]):
        for c in range(image.shape[1]):
            median[r, c] = np.median(cell(image, r, c, 3, "zero"))
    g, found = core(median, row, column), 0.0
    for size in (5, 7, 9, 11):

        def irregular(r, c, size=size):
            return largest(median, r, c, size) - cell(median, r, c, size, "edge").mean()

        outer = [irregular(row + r, column + c) for r, c in around(size)]
        brightest = max(largest(median, row + r, column + c, size) for r, c in around(size))
        spread = np.std(outer, ddof=1)
        inner = irregular(row, column)
        weight = inner * max(inner - max(outer), 0) / (spread if spread > 5 else 5)
        found = max(found, weight * (max(g * g / brightest - g, 0) if brightest > 0 else 0))
    assert METHODS["wslcm"](image)[row, column] == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("flush", [False, True])
def test_windows_come_back_as_the_image_where_they_cover_it(flush):
    image = scene()
    windows = Patches.of(image, 30, 10, flush)
    covered = windows.mean(np.ones((30, 30, len(windows.corners)))) > 0
    assert covered.all() == flush
    for back in (windows.mean, windows.last):
        assert np.allclose(back(windows.cut(image))[covered], image[covered])


def test_nram_takes_the_target_away_from_what_repeats():
    response = nonconvex_rank(scene(70, 80))
    spot = response[18:23, 28:33].max()
    assert spot > 5 * np.delete(np.abs(response), range(16, 25), axis=0).max()


def test_every_method_is_scored_like_a_network(tmp_path):
    from PIL import Image

    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        mask = np.zeros((48, 56), dtype=np.uint8)
        mask[18:23, 28:33] = 255
        Image.fromarray(scene(seed=number).astype(np.uint8)).save(tmp_path / f"images/{number}.png")
        Image.fromarray(mask).save(tmp_path / f"masks/{number}.png")
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path), "--method", "tophat", "--convention", "basicirstd"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["conventions"]["basicirstd"]["pd"] == 1
    assert found["scores"] == "of each image scaled by their own maximum"
    assert CliRunner().invoke(app, ["evaluate", str(tmp_path), "--method", "tophatt"]).exit_code == 2
