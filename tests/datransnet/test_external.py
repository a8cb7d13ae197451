"""Networks that lie elsewhere: adapted by declaration, each with its own modules, and refused in words."""

import sys
from pathlib import Path

import pytest
import torch

from datransnet import create_model
from datransnet.errors import DataError, ParameterError
from datransnet.foreign_code import python_digest
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
    lists["files"] = digest = python_digest(source)
    create_model(**lists)
    (source / "notes.txt").write_text("no code", encoding="utf-8")
    (source / ".git").mkdir()
    (source / ".git/hook.py").write_text("", encoding="utf-8")
    assert python_digest(source) == digest
    with (source / "utils.py").open("a", encoding="utf-8") as file:
        file.write("# a change\n")
    with pytest.raises(DataError, match="have changed"):
        create_model(**lists)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "/nowhere"}, "no folder with Python files"),
        ({"call": "net"}, "module:Class"),
        ({"call": "nett:Net"}, "cannot be imported"),
        ({"call": "net:Nett"}, "Did you mean 'Net'"),
        ({"arguments": {"depth": 3}}, "cannot be made"),
        ({"call": "utils:block", "arguments": {"a": 1, "b": 1}, "input": {"chanels": 3}}, "Did you mean 'channels'"),
        ({"input": {"channels": 0}}, "at least 1"),
        ({"input": {"mean": [0.1, 0.2]}}, "one number, or one"),
        ({"input": {"std": 0}}, "must not be 0"),
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
    ],
)
def test_outputs_that_are_not_as_declared_are_named(lists, changes, message):
    with pytest.raises(ParameterError, match=message):
        create_model(**{**lists, **changes}).eval()(torch.rand(1, 1, 16, 16))
