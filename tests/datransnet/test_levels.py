"""Thermal counts: what of an image's values is kept, told, remembered, and done alike wherever weights are used."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datransnet.data.catalogue import own_card
from datransnet.data.fetch import fetch_folder
from datransnet.data.images import decode_image, parse_levels, read_image, to_luminance
from datransnet.data.manifest import Manifest
from datransnet.data.splits import split
from datransnet.errors import DataError, ParameterError
from datransnet.weights import learnt_levels
from pipeline.tracking.champion import _load_pyfunc
from tests.datransnet.test_commands import fit, run
from tests.datransnet.test_masks import truth, write

SPLIT = {"seed": 0, "test_share": 0.3, "validation_share": 0.3}


def counts(pixels: np.ndarray) -> Image.Image:
    """A camera's 14 bits: 7000 and a little more."""
    return Image.fromarray(7000 + pixels.astype(np.uint16) * 4)


@pytest.fixture
def thermal(tmp_path) -> Path:
    return write(tmp_path / "thermal", 8, image=counts)


def test_counts_that_lose_their_levels_are_told_and_kept_by_the_setting(thermal, tmp_path):
    fetch_folder(thermal, tmp_path / "raw")
    for levels, lost in (("full", True), ("minmax", False), ("percentile", False), ((7000.0, 8000.0), False)):
        manifest = split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "random", levels=levels, **SPLIT)
        assert ("8 images keep few" in " ".join(manifest.remarks)) == lost
        assert Manifest.read(tmp_path / "data/manifest.json").levels == levels
        images = [np.asarray(Image.open(path)) for path in (tmp_path / "data").rglob("images/*.png")]
        assert all((len(np.unique(image)) < 10) == lost for image in images)


def test_levels_are_linear_between_two_values():
    values = np.array([[6000, 7000, 7500, 8000, 9000]])
    assert to_luminance(values, (7000, 8000)).tolist() == [[0, 0, 128, 255, 255]]
    assert to_luminance(values, "minmax").tolist() == [[0, 85, 128, 170, 255]]
    assert to_luminance(np.full((2, 2), 5), "minmax").tolist() == [[0, 0], [0, 0]]
    pixels = np.random.default_rng(0).integers(1000, 2000, size=(100, 100))
    pixels[0, 0], pixels[0, 1] = 0, 60000  # one dead and one hot pixel
    assert len(np.unique(to_luminance(pixels, "percentile"))) > 200
    assert len(np.unique(to_luminance(pixels, "minmax"))) < 10


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 4), 300.5, dtype=np.float32), "floating-point numbers from 300.5 to 300.5, of unknown scale"),
        (np.full((4, 4), -5, dtype=np.int32), "integers from -5 to -5, of unknown scale"),
        (np.full((4, 4), 70000, dtype=np.int32), "integers from 70000 to 70000, of unknown scale"),
        (np.full((4, 4), np.nan, dtype=np.float32), "no numbers"),
    ],
)
def test_values_without_a_scale_of_their_own_need_the_setting(tmp_path, array, words):
    Image.fromarray(array).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=words):
        read_image(tmp_path / "a.tif")
    if np.isfinite(array).all():
        assert read_image(tmp_path / "a.tif", (0, 2 * abs(float(array[0, 0])))).shape == (4, 4)


def test_an_image_of_few_levels_has_none_to_lose(tmp_path):
    Image.fromarray(np.eye(9, dtype=np.uint16) * 65535).save(tmp_path / "a.png")
    assert not decode_image(tmp_path / "a.png").loses_levels


@pytest.mark.parametrize("text", ["fill", "9000,7000", "7000", "1,2,3", ""])
def test_wrong_levels_are_told(text):
    with pytest.raises(ParameterError, match="LOW,HIGH"):
        parse_levels(text)


def test_weights_remember_their_levels_wherever_they_are_used(thermal, tmp_path, caplog):
    out = tmp_path / "out"
    warned = fit(thermal, tmp_path / "warned")
    assert warned.exit_code == 0
    assert "set data.levels (--levels)" in caplog.text
    caplog.clear()
    done = fit(thermal, out, "--levels", "7000,8020")
    assert done.exit_code == 0, done.stderr
    assert caplog.text == ""
    assert json.loads((out / "card.json").read_text(encoding="utf-8"))["levels"] == [7000, 8020]
    assert learnt_levels(out) == (7000, 8020)
    image = thermal / "images/i0.png"
    plain = tmp_path / "plain"
    for kind in ("images", "masks"):
        (plain / kind).mkdir(parents=True)
    Image.fromarray(read_image(image, (7000, 8020))).save(plain / "images/i0.png")
    Image.fromarray(truth(0).astype(np.uint8) * 255).save(plain / "masks/i0.png")
    assert run("predict", image, "--weights", out, "--out", tmp_path / "p").exit_code == 0
    predicted = np.asarray(Image.open(tmp_path / "p/i0_scores.png"))
    served = _load_pyfunc(str(out)).predict(np.asarray(Image.open(image))[None])["scores"][0]
    assert np.abs(served - predicted / 65535).max() < 1e-4
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    (out / "card.json").write_text(json.dumps(card | {"levels": "full"}), encoding="utf-8")
    assert learnt_levels(out) == "full"
    assert run("predict", plain / "images", "--weights", out, "--out", tmp_path / "q").exit_code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "q/i0_scores.png")), predicted)


def test_evaluation_reads_counts_as_training_did_and_tells_of_a_split_with_others(thermal, tmp_path, caplog):
    out = tmp_path / "out"
    assert fit(thermal, out, "--levels", "minmax").exit_code == 0
    scored = run("evaluate", thermal, "--weights", out, "--allow-leak")
    assert scored.exit_code == 0
    assert "keep few of their levels" not in caplog.text
    fetch_folder(thermal, tmp_path / "raw")
    split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "random", **SPLIT)
    assert run("evaluate", tmp_path / "data", "--weights", out, "--allow-leak").exit_code == 0
    assert "was split with levels full, the weights have learnt from levels minmax" in caplog.text


def test_the_exported_file_names_the_levels(thermal, tmp_path):
    onnx = pytest.importorskip("onnx")
    assert fit(thermal, tmp_path / "out", "--levels", "minmax").exit_code == 0
    done = run("export", "--weights", tmp_path / "out", "--out", tmp_path / "m.onnx", "--height", 32, "--width", 32)
    assert done.exit_code == 0, done.stderr
    assert "levels minmax" in done.stdout
    assert {item.key: item.value for item in onnx.load(tmp_path / "m.onnx").metadata_props}["levels"] == '"minmax"'
