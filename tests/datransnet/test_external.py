"""Networks that lie elsewhere: adapted by declaration, each with its own modules, and refused in words."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from datransnet import create_model
from datransnet.__main__ import app
from datransnet.engine.export import export_onnx
from datransnet.engine.recipe import Recipe
from datransnet.errors import DataError, ParameterError
from datransnet.foreign_code import code_digest
from datransnet.weights import load_weights, save_weights
from tests.datransnet.foreign import write_classes, write_lists

LISTS = {
    "call": "net:Net",
    "arguments": {"width": 4},
    "input": {"channels": 3, "multiple": 4, "mean": [0.4, 0.5, 0.6], "std": 0.2},
    "output": {"kind": "probabilities", "main": -1},
}
CLASSES = {"call": "model.net:build", "arguments": {"depth": 2}, "output": {"kind": "classes", "main": "seg"}}


@pytest.fixture
def lists(tmp_path):
    return {"name": "external", "source": str(write_lists(tmp_path / "lists")), **LISTS}


@pytest.fixture
def classes(tmp_path):
    return {"name": "external", "source": str(write_classes(tmp_path / "classes")), **CLASSES}


def test_a_list_of_probabilities_of_three_channels_becomes_logits(lists):
    network = create_model(**lists).double().eval()
    image = torch.rand(2, 1, 22, 30, dtype=torch.float64)
    with torch.no_grad():
        outputs = network.outputs(image)
        shown = torch.nn.functional.pad(image, [0, 2, 0, 2], "reflect").expand(-1, 3, -1, -1)
        mean = torch.tensor([0.4, 0.5, 0.6], dtype=torch.float64).view(1, 3, 1, 1)
        probabilities = network.network((shown - mean) / 0.2)
    assert list(outputs) == ["out", "side_0"]
    assert outputs["out"].shape == (2, 1, 22, 30)
    larger = torch.nn.functional.interpolate(probabilities[1].logit(), size=(24, 32), mode="bilinear")
    assert torch.allclose(outputs["out"], larger[..., :22, :30], atol=1e-5)


def test_a_dictionary_of_two_classes_becomes_logits_of_the_target(classes):
    network = create_model(**classes)
    image = torch.rand(2, 1, 17, 19)
    assert list(network.train().outputs(image)) == ["out", "side_aux"]
    with torch.no_grad():
        two = network.eval().network(image)
        assert torch.allclose(network(image).sigmoid(), two.softmax(1)[:, 1:], atol=1e-6)
        assert list(network.outputs(image)) == ["out"]


def test_checkouts_with_modules_of_one_name_live_side_by_side(lists, classes):
    known, path = set(sys.modules), list(sys.path)
    image = torch.rand(1, 1, 16, 16)
    for first, second in ((lists, classes), (classes, lists)):
        networks = [create_model(**first).eval(), create_model(**second).eval()]
        assert all(network(image).shape == (1, 1, 16, 16) for network in networks)
    assert not {"utils", "net", "model"} & (set(sys.modules) - known)
    assert sys.path == path


def test_an_image_of_one_size_only(lists):
    lists["input"] |= {"size": 32}
    assert create_model(**lists).eval()(torch.rand(1, 1, 50, 41)).shape == (1, 1, 50, 41)


def test_extreme_probabilities_have_finite_logits_and_gradients(lists):
    network = create_model(**lists)
    with torch.no_grad():
        for head in network.network.heads:
            head.bias.fill_(200)
    loss = sum(logits.square().mean() for logits in network.train().outputs(torch.rand(2, 1, 16, 16)).values())
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)


def test_its_files_are_what_was_planned(lists):
    source = Path(lists["source"])
    lists["files"] = digest = code_digest(source)
    create_model(**lists)
    (source / "notes.txt").write_text("no code", encoding="utf-8")
    (source / ".git").mkdir()
    (source / ".git/hook.py").write_text("", encoding="utf-8")
    assert code_digest(source) == digest
    with (source / "utils.py").open("a", encoding="utf-8") as file:
        file.write("# a change\n")
    with pytest.raises(DataError, match="not those"):
        create_model(**lists)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "/nowhere"}, "no folder with Python files"),
        ({"source": ""}, "model.source is missing"),
        ({"call": "net"}, "module:Class"),
        ({"call": ".net:Net"}, "module:Class"),
        ({"arguments": [1]}, "names with values"),
        ({"input": 3}, "names with values"),
        ({"input": {"channels": "3"}}, "whole number"),
        ({"input": {"mean": "abc"}}, "one number"),
        ({"input": {"std": -1}}, "above 0"),
        ({"output": {"main": [0]}}, "a place in a list"),
        ({"output": {"sides": "false"}}, "true or false"),
        ({"call": "nett:Net"}, "cannot be imported"),
        ({"call": "net:Nett"}, "Did you mean 'Net'"),
        ({"arguments": {"depth": 3}}, "cannot be made"),
        ({"call": "utils:block", "arguments": {"a": 1, "b": 1}, "input": {"chanels": 3}}, "Did you mean 'channels'"),
        ({"input": {"channels": 0}}, "at least 1"),
        ({"input": {"mean": [0.1, 0.2]}}, "one number, or one"),
        ({"input": {"std": 0}}, "above 0"),
        ({"output": {"kind": "sigmoid"}}, "probabilities"),
    ],
)
def test_a_wrong_declaration_is_named(lists, changes, message):
    with pytest.raises(ParameterError, match=message):
        create_model(**{**lists, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": {"kind": "probabilities", "main": 5}}, "none of the external network's outputs"),
        ({"output": {"kind": "classes", "main": -1}}, "must be 1×2×height×width"),
        ({"output": {"kind": "probabilities", "main": -5}}, "none of the external network's outputs"),
        ({"input": {}}, "fails on a batch of"),
    ],
)
def test_outputs_that_are_not_as_declared_are_named(lists, changes, message):
    with pytest.raises(ParameterError, match=message):
        create_model(**{**lists, **changes}).eval()(torch.rand(1, 1, 16, 16))


LATE = """
import torch
from torch import nn


class Late(nn.Module):
    def __init__(self):
        super().__init__()
        from parts.layers import first  # as late as this

        self.first = first()
        self.again = first()
        self.again.weight = self.first.weight  # tied

    def forward(self, x):
        from parts.layers import twice

        return self.again(twice(self.first(x)))


class Leaves(nn.Module):
    def __init__(self):
        raise SystemExit(0)


class Nothing(nn.Module):
    pass
"""


@pytest.fixture
def late(tmp_path):
    """A checkout that imports while it runs, ties weights, and has a file and a folder named like packages."""
    folder = tmp_path / "late"
    (folder / "parts").mkdir(parents=True)
    (folder / "numpy").mkdir()  # images, say
    (folder / "torch.yml").write_text("a: 1", encoding="utf-8")
    (folder / "net.py").write_text(LATE, encoding="utf-8")
    (folder / "broken.py").write_text("def (", encoding="utf-8")
    (folder / "script.py").write_text(
        "import argparse\nargparse.ArgumentParser().parse_args(['--no'])", encoding="utf-8"
    )
    (folder / "parts/layers.py").write_text(
        "from torch import nn\n\n\ndef first():\n    return nn.Conv2d(1, 1, 3, padding=1)\n\n\n"
        "def twice(x):\n    return 2 * x\n",
        encoding="utf-8",
    )
    return {"name": "external", "source": str(folder), "call": "net:Late"}


def test_what_is_imported_late_is_the_folders_own(late, tmp_path, monkeypatch):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/layers.py").write_text("def twice(x):\n    return 0 * x\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    network = copy.deepcopy(create_model(**late).eval())
    image = torch.rand(1, 1, 9, 9)
    with torch.no_grad():
        inner = network.network
        assert torch.equal(network(image), inner.again(2 * inner.first(image)))
    assert "parts" not in sys.modules


def test_tied_weights_are_kept_and_found_again(late, tmp_path):
    network = create_model(**late).eval()
    save_weights(tmp_path / "w", network, late, Recipe())
    again, _ = load_weights(tmp_path / "w")
    image = torch.rand(1, 1, 9, 9)
    with torch.no_grad():
        assert torch.equal(again(image), network(image))


def test_it_is_exported_for_any_batch(lists, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    network = create_model(**lists).eval()
    export_onnx(network, tmp_path / "m.onnx", 40, 50, "full")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    images = torch.rand(3, 1, 40, 50)
    with torch.no_grad():
        assert np.allclose(session.run(None, {"image": images.numpy()})[0], network(images), atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("net:Leaves", "cannot be made"),
        ("net:Nothing", "with parameters"),
        ("broken:Net", "SyntaxError"),
        ("script:Net", "SystemExit"),
    ],
)
def test_code_that_leaves_or_breaks_is_an_error_in_words(late, call, message):
    with pytest.raises(ParameterError, match=message):
        create_model(**{**late, "call": call})


def test_settings_count_and_environments_do_not(late):
    folder = Path(late["source"])
    before = code_digest(folder)
    (folder / "venv").mkdir()
    (folder / "venv/pyvenv.cfg").write_text("", encoding="utf-8")
    (folder / "venv/site.py").write_text("", encoding="utf-8")
    assert code_digest(folder) == before
    (folder / "config.yaml").write_text("width: 8", encoding="utf-8")
    assert code_digest(folder) != before


def test_a_mistake_in_fit_leaves_nothing_behind(scenes, late, tmp_path):
    def fit(call):
        told = ("--model", "external", "-a", f"source={late['source']}", "-a", f"call={call}")
        size = ("--epochs", "1", "--view", "crop", "--size", "32")
        return CliRunner().invoke(app, ["fit", str(scenes), "--out", str(tmp_path / "out"), *told, *size])

    assert fit("net:Leaves").exit_code == 2
    assert not (tmp_path / "out").exists()
    done = fit("net:Late")
    assert done.exit_code == 0, done.output
    with (Path(late["source"]) / "parts/layers.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    again = fit("net:Late")
    assert again.exit_code == 2
    assert "another model" in again.stderr
    with pytest.raises(DataError, match="not those"):
        load_weights(tmp_path / "out")
