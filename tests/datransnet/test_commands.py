"""``python -m datransnet`` as a user types it."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from typer.testing import CliRunner, Result

from datransnet import create_model, list_models
from datransnet.__main__ import app
from datransnet.data.catalogue import CATALOGUE
from datransnet.data.masks import resized
from datransnet.engine.recipe import Recipe
from datransnet.metrics import CONVENTIONS, score
from datransnet.models import complete_arguments
from datransnet.weights import Foreign, load_weights, save_weights


def run(*arguments) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """What `fit` writes after two epochs."""
    out = tmp_path_factory.mktemp("fit") / "out"
    done = fit(scenes, out)
    assert done.exit_code == 0, done.stderr
    return out


def fit(data, out, *more) -> Result:
    recipe = ["--epochs", 2, "--view", "crop", "--size", 32, "--lr", "5e-3", "--target-share", 0.5]
    return run("fit", data, "--out", out, "-a", "width=4", "-a", "image_size=32", *recipe, *more)


def test_fit_says_each_epoch_and_leaves_weights(trained):
    card = json.loads((trained / "card.json").read_text(encoding="utf-8"))
    assert card["model"]["width"] == 4
    assert card["recipe"]["epochs"] == 2
    history = list(csv.DictReader((trained / "history.csv").open(encoding="utf-8")))
    assert [float(row["epoch"]) for row in history] == [1, 2]
    model, recipe = load_weights(trained)
    assert recipe.size == 32
    assert not model.training


def test_fit_again_changes_nothing_and_another_recipe_is_refused(scenes, trained):
    before = (trained / "weights.safetensors").read_bytes()
    again = fit(scenes, trained)
    assert again.exit_code == 0, again.stderr
    assert (trained / "weights.safetensors").read_bytes() == before
    other = fit(scenes, trained, "--clip", 1)
    assert other.exit_code == 2
    assert "another recipe" in other.stderr


def test_fit_takes_a_plain_folder(scenes, tmp_path):
    done = fit(scenes / "trainval", tmp_path / "out", "--share", 0.25)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("epoch ") >= 2


def test_two_processes_train_as_one(scenes, tmp_path):
    options = ["fit", scenes, "-a", "width=4", "-a", "image_size=32", "--epochs", 2, "--view", "crop", "--size", 32]
    options += ["--lr", "1e-3", "--batch-size", 6, "--ema", 0.5]  # nine images: a batch of six, and one of three
    together = ["-m", "torch.distributed.run", "--nproc-per-node", 2, "-m", "datransnet", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, start in (("one", ["-m", "datransnet", *options]), ("two", together)):
        command = [sys.executable, *map(str, start), "--out", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("epoch 2/2") == 1
    one, two = (
        list(csv.DictReader((tmp_path / name / "history.csv").open(encoding="utf-8"))) for name in ("one", "two")
    )
    for a, b in zip(one, two, strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-5)
    image = torch.rand(1, 1, 40, 40)
    with torch.no_grad():
        logits = [load_weights(tmp_path / name)[0](image) for name in ("one", "two")]
    assert torch.allclose(*logits, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--lr", "0"], 2, "out of range"),
        (["--zoom", "9"], 2, "--zoom"),
        (["-a", "widht=4"], 2, "widht"),
        (["-a", "width"], 2, "name=value"),
        (["-a", "width=8.5"], 2, "of type int"),
        (["-a", "datrans=no"], 2, "of type bool"),
        (["-a", "dilations=3"], 2, "distinct positive integers"),
        (["--model", "datransent"], 2, "datransnet"),
        (["--data-lost"], 2, "data-lost"),
    ],
)
def test_wrong_arguments_of_fit(scenes, tmp_path, options, code, words):
    done = fit(scenes, tmp_path / "out", *options)
    assert done.exit_code == code
    assert words in done.stderr
    assert not (tmp_path / "out" / "weights.safetensors").exists()


def test_the_process_exits_with_the_same_code():
    done = subprocess.run([sys.executable, "-m", "datransnet", "info", "-a", "width=1"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "Error: width = 1 must be at least 4 and image_size = 256 at least 32.\n"


def test_missing_data_is_3(trained, tmp_path):
    assert fit(tmp_path / "nowhere", tmp_path / "out").exit_code == 3
    assert run("evaluate", tmp_path / "nowhere", "--weights", trained).exit_code == 3
    assert run("evaluate", tmp_path, "--weights", tmp_path / "nothing").exit_code == 3
    (tmp_path / "x.png").write_bytes(b"half")
    assert run("predict", tmp_path / "x.png", "--weights", trained, "--out", tmp_path / "p").exit_code == 3


@pytest.mark.parametrize("plain", [False, True])
def test_evaluate_prints_metrics(scenes, trained, plain):
    done = run("evaluate", scenes / "test" if plain else scenes, "--weights", trained, "--convention", "datransnet")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found["conventions"]) == ["datransnet"]
    metrics = found["conventions"]["datransnet"]
    assert 0 <= metrics["iou"] <= 1
    assert metrics["n_images"] == len(list((scenes / "test" / "images").iterdir()))


def test_predict_writes_scores_overlays_and_detections(scenes, trained, tmp_path):
    images = sorted((scenes / "test" / "images").iterdir())[:2]
    done = run("predict", *images, "--weights", trained, "--out", tmp_path, "--threshold", 0.3)
    assert done.exit_code == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "detections.csv").open(encoding="utf-8")))
    for path in images:
        scores = np.asarray(Image.open(tmp_path / f"{path.stem}_scores.png")) / 65535
        assert scores.shape == np.asarray(Image.open(path)).shape
        assert Image.open(tmp_path / f"{path.stem}_overlay.png").mode == "RGB"
        mine = [row for row in rows if row["image"] == path.name]
        assert sum(int(row["area"]) for row in mine) == (scores > 0.3).sum()
        assert all(float(row["score"]) > 0.3 for row in mine)


def test_two_images_of_one_name_are_refused(scenes, trained, tmp_path):
    image = next((scenes / "test" / "images").iterdir())
    done = run("predict", image, image, "--weights", trained, "--out", tmp_path)
    assert done.exit_code == 2
    assert image.stem in done.stderr


def test_score_maps_of_zeros_and_ones_in_a_png_are_told(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[2:4, 2:4] = 1
    for folder, factor in (("masks", 255), ("scores", 1), ("white", 255)):
        (tmp_path / folder).mkdir()
        Image.fromarray(mask * factor).save(tmp_path / folder / "a.png")
    refused = run("evaluate", "--scores", tmp_path / "scores", "--masks", tmp_path / "masks")
    assert refused.exit_code == 3
    assert "levels 0 and 1" in refused.stderr
    done = run("evaluate", "--scores", tmp_path / "white", "--masks", tmp_path / "masks")
    assert json.loads(done.stdout)["conventions"]["basicirstd"]["iou"] == 1


def test_info_has_a_line_for_each_network():
    done = run("info", "--all", "--height", 32, "--width", 32)
    assert done.exit_code == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert set(list_models()) <= set(lines)
    assert "397,823" in lines["acm"]
    assert "arXiv 2009.14530" in lines["acm"]
    assert "NUDT-SIRST 64.9" in lines["acm"]


def test_a_published_checkpoint_of_another_network_is_normalised_as_told(scenes, tmp_path):
    torch.manual_seed(0)
    network = create_model("acm").eval()
    torch.save(
        {"state_dict": {f"model.{key}": value for key, value in network.state_dict().items()}}, tmp_path / "a.pth.tar"
    )
    told = ("--weights", tmp_path / "a.pth.tar", "--model", "acm", "--normalise", "102,51")
    done = run("export", *told, "--out", tmp_path / "m.onnx", "--height", 64, "--width", 64)
    assert done.exit_code == 0, done.stderr
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        found, _ = Foreign("acm", mean=102, std=51).load(tmp_path / "a.pth.tar")
        assert torch.allclose(found(image), network((image - 0.4) / 0.2), atol=1e-5)
    done = run("evaluate", scenes, *told)
    assert done.exit_code == 0, done.stderr
    wrong = run("evaluate", scenes, "--weights", tmp_path / "a.pth.tar", "--model", "acm", "--normalise", "102")
    assert wrong.exit_code == 2
    assert "mean and a deviation" in wrong.stderr
    assert run("evaluate", scenes, "--weights", tmp_path / "a.pth.tar").exit_code == 3  # no DATransNet


def test_info_counts_parameters():
    done = run("info", "-a", "width=16")
    assert done.exit_code == 0, done.stderr
    assert "2,175,401 live and 0 dead" in done.stdout


@pytest.fixture
def published(scenes, trained, tmp_path):
    """Score maps of a network, as a folder that anyone might publish."""
    images = sorted((scenes / "test/images").iterdir())
    assert run("predict", *images, "--weights", trained, "--out", tmp_path / "maps").exit_code == 0
    return tmp_path / "maps"  # with overlays beside


@pytest.mark.parametrize("kind", ["png", "npy", "mat"])
def test_anyones_score_maps_are_scored_as_the_network_itself(scenes, trained, published, kind):
    for path in list(published.glob("*_scores.png")):
        array = np.asarray(Image.open(path), dtype=np.float64) / 65535
        name = path.stem.removesuffix("_scores")
        if kind == "npy":
            np.save(published / f"{name}.npy", array)
        elif kind == "mat":
            savemat(published / f"{name}.mat", {"T": array})
        if kind != "png":
            path.unlink()
    curves = published.parent / "curves.csv"
    arguments = ("--scores", published, "--masks", scenes / "test/masks", "--curves", curves)
    theirs = json.loads(run("evaluate", *arguments).stdout)
    ours = json.loads(run("evaluate", scenes, "--weights", trained).stdout)
    assert list(ours["conventions"]) == list(CONVENTIONS)
    for convention in CONVENTIONS:
        for name in ("iou", "pd", "fa", "n_targets"):
            assert theirs["conventions"][convention][name] == ours["conventions"][convention][name]
    drawn = {row["curve"] for row in csv.DictReader(curves.open(encoding="utf-8"))}
    assert drawn == {"pixel", "precision_recall", "target", *(f"pd_fa_{name}" for name in CONVENTIONS)}
    assert theirs["missing"] == []


@pytest.fixture
def resized_maps(tmp_path):
    """Masks of six images, logits of them at twice the size, of one at its own; and a list of four."""
    rng = np.random.default_rng(5)
    for name in ("masks", "maps"):
        (tmp_path / name).mkdir()
    for number in range(6):
        mask = np.zeros((24, 20), dtype=bool)
        mask[3 + number : 6 + number, 5:8] = True
        shape = mask.shape if number == 3 else (48, 40)
        logits = rng.normal(-3, 1, shape) + 6 * resized(mask, *shape)
        np.save(tmp_path / f"maps/a{number}.npy", logits.astype(np.float32))
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"masks/a{number}.png")
    (tmp_path / "test.txt").write_text("a0\na1\na2\na3\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("mismatch", ["exclude", "resize_mask", "resize_mask_by_corners"])
def test_score_maps_may_hold_logits_of_some_images_at_another_size(resized_maps, mismatch):
    folder = resized_maps
    arguments = ["evaluate", "--scores", folder / "maps", "--masks", folder / "masks", "--ids", folder / "test.txt"]
    done = run(*arguments, "--logits", "--mismatch", mismatch)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    ids = ["a3"] if mismatch == "exclude" else ["a0", "a1", "a2", "a3"]
    assert found["left_out" if mismatch == "exclude" else "resized_masks"] == ["a0", "a1", "a2"]
    pairs = []
    for id_ in ids:
        scores = 1 / (1 + np.exp(-np.load(folder / f"maps/{id_}.npy").astype(np.float64)))
        mask = np.asarray(Image.open(folder / f"masks/{id_}.png")) > 127
        if mismatch == "resize_mask_by_corners":
            factor = scores.shape[0] // mask.shape[0]
            mask = mask.repeat(factor, axis=0).repeat(factor, axis=1)
        pairs.append((scores, mask if mask.shape == scores.shape else resized(mask, *scores.shape)))
    for name, metrics in found["conventions"].items():
        expected = score(pairs, name)
        assert metrics["n_images"] == len(ids)
        assert metrics["iou"] == pytest.approx(expected.iou)
        assert metrics["pd"] == pytest.approx(expected.pd)


def test_what_cannot_be_scored_says_which_option_helps(resized_maps):
    folder = resized_maps
    arguments = ["evaluate", "--scores", folder / "maps", "--masks", folder / "masks"]
    for more, code, words in (
        (["--logits"], 3, "5 have another size than their mask.*See --mismatch"),
        ([], 3, "use --logits"),
        (["--logits", "--mismatch", "resize_masks"], 2, "Did you mean 'resize_mask'"),
    ):
        done = run(*arguments, *more)
        assert done.exit_code == code
        assert re.search(words, done.stderr), done.stderr
    (folder / "test.txt").write_text("a0\nb7\n", encoding="utf-8")
    done = run(*arguments, "--logits", "--ids", folder / "test.txt", "--mismatch", "exclude")
    assert done.exit_code == 3
    assert "1 images without a mask" in done.stderr
    Image.fromarray(np.zeros((24, 20), dtype=np.uint8)).save(folder / "maps/a0.png")
    (folder / "maps/a0.npy").unlink()
    assert "cannot hold logits" in run(*arguments, "--logits").stderr


def test_score_maps_that_were_rounded_get_a_word(scenes, published, caplog):
    run("evaluate", "--scores", published, "--masks", scenes / "test/masks")
    assert "4 of 4 score maps" in caplog.text
    assert "are PNGs, whose scores are rounded" in caplog.text


def test_the_datasets_are_listed_with_what_is_known_of_them():
    done = run("data")
    for card in CATALOGUE.values():
        for text in (card.name, card.citation, card.terms, *card.faults, *card.splits):
            assert text in done.stdout
    assert run("data", "nuaa-sirst").stdout.startswith("SIRST\n")
    wrong = run("data", "SIRTS")
    assert wrong.exit_code == 2
    assert "Did you mean 'SIRST'" in wrong.stderr


def test_score_maps_that_do_not_fit_are_named(scenes, published):
    first, second, *_ = sorted(published.glob("*_scores.png"))
    gone = first.stem.removesuffix("_scores")
    first.rename(published / "stranger.png")
    (published / f"{gone}_overlay.png").unlink()
    Image.fromarray(np.zeros((7, 9), dtype=np.uint8)).save(second)
    arguments = ("evaluate", "--scores", published, "--masks", scenes / "test/masks")
    refused = run(*arguments)
    assert refused.exit_code == 3
    assert f"1 have no score map: {gone}" in refused.stderr
    assert "(9×7, mask 48×48)" in refused.stderr
    assert "1 have no mask: stranger" in refused.stderr
    (published / "stranger.png").unlink()
    second.unlink()
    second.with_name(second.name.replace("_scores", "_overlay")).unlink()
    allowed = json.loads(run(*arguments, "--allow-missing").stdout)
    assert allowed["missing"] == [gone, second.stem.removesuffix("_scores")]
    assert {metrics["n_images"] for metrics in allowed["conventions"].values()} == {2}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", b"nothing"),
        ("a.mat", b"nothing"),
        ("a.png", b"\x89PNG"),
        ("a.npy", np.full((4, 4), np.nan)),
        ("a.npy", np.full((4, 4), 2.0)),
        ("a.npy", np.zeros((2, 4, 4))),
        ("a.npy", np.array([["x"]])),
    ],
)
def test_damaged_score_maps_are_told(tmp_path, name, content):
    (tmp_path / "scores").mkdir()
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(tmp_path / "masks/a.png")
    if isinstance(content, bytes):
        (tmp_path / "scores" / name).write_bytes(content)
    else:
        np.save(tmp_path / "scores" / name, content)
    refused = run("evaluate", "--scores", tmp_path / "scores", "--masks", tmp_path / "masks")
    assert refused.exit_code == 3
    assert name in refused.stderr


@pytest.mark.parametrize("arguments", [(), ("--scores", "x"), ("data", "--weights", "w", "--scores", "x")])
def test_evaluate_wants_one_of_two_forms(arguments):
    refused = run("evaluate", *arguments)
    assert refused.exit_code == 2
    assert "either DATA and --weights, or --scores and --masks" in refused.stderr


def test_evaluate_refuses_images_that_training_has_seen(scenes, trained, tmp_path):
    shutil.copytree(scenes / "trainval", tmp_path / "seen")
    refused = run("evaluate", tmp_path / "seen", "--weights", trained)
    assert refused.exit_code == 3
    assert "13 of the 13 images" in refused.stderr
    allowed = run("evaluate", tmp_path / "seen", "--weights", trained, "--allow-leak")
    assert json.loads(allowed.stdout)["seen_in_training"] == 13
    assert json.loads(run("evaluate", scenes, "--weights", trained).stdout)["seen_in_training"] == 0


def test_a_folder_with_a_test_part_is_not_trained_on_it(scenes, tmp_path):
    for part in ("trainval", "test"):
        shutil.copytree(scenes / part, tmp_path / "data" / part)
    done = fit(tmp_path / "data", tmp_path / "out", "--share", 0.25)
    assert done.exit_code == 0, done.stderr
    assert len(json.loads((tmp_path / "out/card.json").read_text(encoding="utf-8"))["learnt"]) == 13
    scored = json.loads(run("evaluate", tmp_path / "data", "--weights", tmp_path / "out").stdout)
    assert (scored["seen_in_training"], scored["conventions"]["basicirstd"]["n_images"]) == (0, 4)
    refused = run("evaluate", tmp_path / "data", "--weights", tmp_path / "out", "--part", "val")
    assert refused.exit_code == 3
    assert "has no val part; it has test, train" in refused.stderr
    refused = run("evaluate", tmp_path / "data/test", "--weights", tmp_path / "out", "--part", "test")
    assert refused.exit_code == 2
    assert "leave --part out" in refused.stderr


def test_masks_of_zeros_and_ones_are_read_as_such(scenes, trained, published, tmp_path):
    shutil.copytree(scenes / "test", tmp_path / "data")
    for path in (tmp_path / "data/masks").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 255).save(path)
    of_network = ("evaluate", tmp_path / "data", "--weights", trained)
    of_scores = ("evaluate", "--scores", published, "--masks", tmp_path / "data/masks")
    found = [
        json.loads(run(*command, *more).stdout)
        for command in (of_network, of_scores)
        for more in ((), ("--mask-above", 0))
    ]
    assert all(each["conventions"] == found[0]["conventions"] for each in found)
    assert found[0]["conventions"]["basicirstd"]["n_targets"] > 0


def test_metrics_without_a_target_are_null(published, scenes, tmp_path):
    (tmp_path / "masks").mkdir()
    for path in (scenes / "test/masks").iterdir():
        Image.fromarray(np.zeros((48, 48), dtype=np.uint8)).save(tmp_path / "masks" / path.name)
    done = run("evaluate", "--scores", published, "--masks", tmp_path / "masks")
    assert "NaN" not in done.stdout
    assert json.loads(done.stdout)["conventions"]["basicirstd"]["pd"] is None


def test_predict_does_what_it_can_and_names_the_rest(scenes, trained, tmp_path):
    good = sorted((scenes / "test/images").iterdir())[0]
    (tmp_path / "notes.png").write_text("no image", encoding="utf-8")
    (tmp_path / "none").mkdir()
    Image.fromarray(np.full((40, 40), 0.5, dtype=np.float32)).save(tmp_path / "float.tif")
    done = run(
        "predict", tmp_path, tmp_path / "none", good, "--weights", trained,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 3
    for words in ("notes.png is damaged or no image", "float.tif holds floating-point", "is a folder without an image"):
        assert words in done.stderr
    assert (tmp_path / "out/detections.csv").exists()
    assert (tmp_path / f"out/{good.stem}_scores.png").exists()


def test_images_that_a_network_sees_much_smaller_are_told(tmp_path, caplog):
    arguments = {"image_size": 32, "width": 4}
    save_weights(tmp_path / "w", create_model("datransnet", **arguments), {"name": "datransnet", **arguments},
                 Recipe(view="resize", size=32))  # fmt: skip
    Image.fromarray(np.zeros((100, 200), dtype=np.uint8)).save(tmp_path / "large.png")
    assert run("predict", tmp_path / "large.png", "--weights", tmp_path / "w", "--out", tmp_path / "o").exit_code == 0
    assert "shrunk 6.2 times" in caplog.text


@pytest.mark.parametrize("device", ["cuda", "gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_told(scenes, trained, tmp_path, device):
    for command in (("fit", scenes, "--out", tmp_path / "out"), ("evaluate", scenes, "--weights", trained)):
        refused = run(*command, "--device", device)
        assert refused.exit_code == 2
        assert f"device = '{device}' cannot be used here (cpu" in refused.stderr


def test_a_place_that_cannot_be_written_is_told(scenes, trained, tmp_path):
    (tmp_path / "out").write_text("", encoding="utf-8")
    refused = run("predict", scenes / "test/images/none.png", "--weights", trained, "--out", tmp_path / "out")
    assert refused.exit_code == 1
    assert "Choose another place" in refused.stderr


@pytest.mark.parametrize("command", ["fit", "evaluate", "predict", "export", "info"])
def test_help_is_quick_because_torch_is_not_imported(command):
    script = (
        "import sys; from typer.testing import CliRunner; from datransnet.__main__ import app;"
        f"assert CliRunner().invoke(app, [{command!r}, '--help']).exit_code == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", list_models())
def test_export_has_the_logits_of_pytorch(name, tmp_path):
    pytest.importorskip("onnxruntime")
    arguments = {
        key: 64 if key == "image_size" else 4 for key in ("image_size", "width") if key in complete_arguments(name)
    }
    torch.manual_seed(0)
    model = create_model(name, **arguments)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                torch.nn.init.uniform_(module.weight, 0.5, 2)
    save_weights(tmp_path / "w", model, {"name": name, **arguments}, Recipe())
    done = run("export", "--weights", tmp_path / "w", "--out", tmp_path / "m.onnx", "--height", 50, "--width", 70)
    assert done.exit_code == 0, done.stderr
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    images = torch.rand(5, 1, 50, 70)
    (found,) = session.run(None, {"image": images.numpy()})
    with torch.inference_mode():
        assert torch.allclose(torch.from_numpy(found), model.eval()(images), atol=1e-4)


def pictures(folder, *names, size=40):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (size, size)).astype(np.uint8)).save(
            folder / name
        )
    return folder


def table(out):
    return list(csv.DictReader((out / "detections.csv").open(encoding="utf-8")))


def test_predict_takes_folders_and_calls_add_up(trained, tmp_path):
    out, first, second = tmp_path / "out", pictures(tmp_path / "a", "a.png", "b.png"), pictures(tmp_path / "b", "c.png")
    (first / "._a.png").write_bytes(b"\0")
    everything = ("--weights", trained, "--out", out, "--threshold", 0)  # every pixel is a detection
    assert run("predict", first, *everything).exit_code == 0
    assert {row["image"] for row in table(out)} == {"a.png", "b.png"}
    assert run("predict", second, *everything).exit_code == 0
    assert {row["image"] for row in table(out)} == {"a.png", "b.png", "c.png"}
    before = table(out)
    assert run("predict", first / "a.png", *everything).exit_code == 0  # once more: in the place of its earlier rows
    assert sorted(map(str, table(out))) == sorted(map(str, before))


def test_a_call_that_reads_no_image_destroys_nothing(trained, tmp_path):
    out = tmp_path / "out"
    assert (
        run(
            "predict", pictures(tmp_path / "a", "a.png"), "--weights", trained, "--out", out, "--threshold", 0
        ).exit_code
        == 0
    )
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (tmp_path / "none").mkdir()
    (tmp_path / "bad.png").write_bytes(b"no image")
    for arguments in ((tmp_path / "none",), (tmp_path / "bad.png",), (tmp_path / "missing.png",)):
        assert run("predict", *arguments, "--weights", trained, "--out", out).exit_code == 3
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_table_of_somebody_elses_is_not_written_over(trained, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/detections.csv").write_text("name,label\nx,1\n", encoding="utf-8")
    done = run("predict", pictures(tmp_path / "a", "a.png"), "--weights", trained, "--out", tmp_path / "out")
    assert done.exit_code == 3
    assert (tmp_path / "out/detections.csv").read_text(encoding="utf-8") == "name,label\nx,1\n"


def test_predicting_into_the_folder_of_the_images_twice_reads_only_images(trained, tmp_path):
    folder = pictures(tmp_path / "a", "a.png", "b.png")
    for _ in range(2):
        assert run("predict", folder / "a.png", folder / "b.png", "--weights", trained, "--out", folder).exit_code == 0
        assert run("predict", folder, "--weights", trained, "--out", folder).exit_code == 0
    assert not list(folder.glob("*_scores_scores.png"))


def test_a_network_is_asked_as_often_as_progress_is_counted(trained, monkeypatch):
    from datransnet.engine import predict

    monkeypatch.setattr(predict, "TILE", 64)
    monkeypatch.setattr(predict, "OVERLAP", 16)
    model, recipe = load_weights(trained)
    for shape in ((40, 50), (64, 64), (65, 30), (200, 150)):
        asked = []
        image = np.zeros(shape, dtype=np.uint8)
        monkeypatch.setattr(predict.tiled, "__defaults__", (64, 16, bool))
        predict.predict_image(model, image, recipe, each=lambda asked=asked: asked.append(1))
        assert len(asked) == predict.tiles(shape, recipe)


def test_fit_does_not_write_over_weights_of_something_else(scenes, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "best")
    (tmp_path / "best/training.json").unlink()
    before = (tmp_path / "best/weights.safetensors").read_bytes()
    refused = fit(scenes, tmp_path / "best")
    assert refused.exit_code == 2
    assert "of something else" in refused.stderr
    assert (tmp_path / "best/weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("ending", ["_Pred", "_pred", "_prob", "_score", "_OUTPUT"])
def test_score_maps_are_known_by_usual_endings_beside_what_scripts_write_there(published, scenes, tmp_path, ending):
    expected = run("evaluate", "--scores", published, "--masks", scenes / "test/masks")
    (tmp_path / "scores").mkdir()
    for path in sorted(published.glob("*_scores.png")):
        shutil.copyfile(path, tmp_path / "scores" / f"{path.stem.removesuffix('_scores')}{ending}{path.suffix}")
        shutil.copyfile(path, tmp_path / "scores" / f"{path.stem.removesuffix('_scores')}_GT{path.suffix}")
    (tmp_path / "scores/._a_Pred.png").write_bytes(b"\0")
    found = run("evaluate", "--scores", tmp_path / "scores", "--masks", scenes / "test/masks")
    assert found.exit_code == 0, found.stderr
    assert found.stdout == expected.stdout


def test_a_coloured_heat_map_is_no_score_map(scenes, tmp_path):
    for path in (scenes / "test/masks").iterdir():
        grey = np.asarray(Image.open(path))
        Image.fromarray(np.dstack([grey, 0 * grey, 255 - grey])).save(tmp_path / path.name)
    refused = run("evaluate", "--scores", tmp_path, "--masks", scenes / "test/masks")
    assert refused.exit_code == 3
    assert "is a coloured picture, not a score map" in refused.stderr
    for path in tmp_path.iterdir():
        Image.open(path).convert("L").convert("RGB").save(path)  # grey, in three channels
    assert run("evaluate", "--scores", tmp_path, "--masks", scenes / "test/masks").exit_code == 0


@pytest.mark.parametrize("theirs", ["a_scores.png", "a_overlay.png"])
def test_predict_writes_over_nothing_that_it_has_not_written(trained, tmp_path, theirs):
    folder = pictures(tmp_path / "a", "a.png", theirs)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for arguments in ((folder,), (folder / "a.png",), (folder / "a.png", folder / theirs)):
        refused = run("predict", *arguments, "--weights", trained, "--out", folder)
        assert refused.exit_code == 2
        assert theirs in refused.stderr
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "content", [b"", b"image,row,col,area,score\nb.png,1,2,3,.5,note\n", b"image\xff,row\n", b"name\nx\n"]
)
def test_tables_as_people_leave_them_are_added_to_or_told(trained, tmp_path, content):
    out, good = tmp_path / "out", pictures(tmp_path / "a", "a.png")
    out.mkdir()
    (out / "detections.csv").write_bytes(content)
    done = run("predict", good, "--weights", trained, "--out", out)
    assert done.exit_code == (3 if content else 0)
    assert (out / "detections.csv").read_bytes() == content or not content
    assert (out / "a_scores.png").exists() == (not content)


@pytest.mark.parametrize("content", ["mine", "[]"])
def test_a_plan_of_something_else_is_told(scenes, tmp_path, content):
    (tmp_path / "training.json").write_text(content, encoding="utf-8")
    refused = fit(scenes, tmp_path)
    assert refused.exit_code == 2
    assert "of something else" in refused.stderr


def test_too_long_a_name_is_told_before_anything_is_predicted(trained, tmp_path):
    folder = pictures(tmp_path / "a", "a.png", f"{'x' * 230}.png")
    refused = run("predict", folder, "--weights", trained, "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "too long" in refused.stderr
    assert "partial" not in refused.stderr


@pytest.mark.parametrize("levels", [[1], ["a", "b"], "fill", None, 5, [9, 1]])
def test_a_card_with_levels_that_are_none_is_told(trained, tmp_path, levels):
    shutil.copytree(trained, tmp_path / "out")
    card = json.loads((trained / "card.json").read_text(encoding="utf-8"))
    (tmp_path / "out/card.json").write_text(json.dumps(card | {"levels": levels}), encoding="utf-8")
    refused = run("predict", pictures(tmp_path / "a", "a.png"), "--weights", tmp_path / "out", "--out", tmp_path / "p")
    assert refused.exit_code == 3
    assert "has levels" in refused.stderr


def test_score_maps_without_a_usable_palette_and_dim_ones_are_told(scenes, tmp_path, caplog):
    for path in (scenes / "test/masks").iterdir():
        mask = np.asarray(Image.open(path)) > 0
        Image.fromarray(mask.astype(np.uint16) * 4095).save(tmp_path / path.name)
    assert run("evaluate", "--scores", tmp_path, "--masks", scenes / "test/masks").exit_code == 0
    assert "The brightest score" in caplog.text
    black = Image.fromarray(mask.astype(np.uint8), mode="P")
    black.putpalette([0] * 6)
    black.save(tmp_path / path.name)
    refused = run("evaluate", "--scores", tmp_path, "--masks", scenes / "test/masks")
    assert refused.exit_code == 3
    assert "palette" in refused.stderr
