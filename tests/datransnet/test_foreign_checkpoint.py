"""Checkpoints in the wrappings that scripts give them: their weights are found, and nothing of them is executed."""

import argparse
import collections
import datetime
import enum
import os
import pathlib
import random
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from datransnet.errors import DataError
from datransnet.models.foreign_checkpoint import Inert, prefixes, read_checkpoint, state_dicts
from datransnet.models.official import load_official
from datransnet.weights import load_weights
from tests.datransnet.test_official import published_weights


class Config(dict):
    """A configuration that is a dictionary, as EasyDict and CfgNode are."""

    def __getattr__(self, name):
        return self[name]


class Mode(enum.Enum):
    TRAIN = "train"


class Meter:
    """An object of a training script."""

    def __init__(self) -> None:
        self.values, self.history = np.arange(3.0), [1, 2]


class Trap:
    """What it unpickles to is a call."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


WEIGHTS = {key: value.float() if value.is_floating_point() else value for key, value in published_weights().items()}

BESIDE: dict[str, Callable[[], Any]] = {
    "epoch": lambda: 3,
    "best_iou": lambda: np.float64(0.77),
    "losses": lambda: np.array([0.1, 0.2]),
    "strings": lambda: np.array(["a", "bc"]),
    "objects": lambda: np.array([None, {"a": 1}], dtype=object),
    "args": lambda: argparse.Namespace(lr=1, path=pathlib.Path("a/b")),
    "config": lambda: Config(model=Config(width=16)),
    "meter": Meter,
    "mode": lambda: Mode.TRAIN,
    "date": lambda: datetime.datetime(2026, 11, 26),
    "history": lambda: collections.defaultdict(list, {"loss": [np.float32(1.5)]}),
    "counter": lambda: collections.Counter("aab"),
    "names": lambda: {"a", "b"},
    "namespace": lambda: types.SimpleNamespace(a=1),
    "optimizer": lambda: {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}},
        "param_groups": [{"lr": 1}],
    },
    "scheduler": lambda: {"last_epoch": 3, "_last_lr": [1e-3]},
    "rng": lambda: (torch.get_rng_state(), np.random.default_rng(0).bit_generator.state),
}
PREFIXES = ["", "module.", "model.", "net.", "_orig_mod.", "network.", "student.", "backbone.", "my_net2."]
KEYS = ["state_dict", "model", "net", "model_state_dict", "weights", "params", "network", "generator", "ema"]


def wrapped(rng: random.Random) -> Any:
    """Weights as one script or another would save them."""
    weights: dict[str, Any] = dict(WEIGHTS)
    if rng.random() < 0.3:
        weights = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    if rng.random() < 0.3:
        weights = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    if rng.random() < 0.2:
        weights = {key: torch.nn.Parameter(value, value.is_floating_point()) for key, value in weights.items()}
    elif rng.random() < 0.2:
        weights = {key: value.numpy() for key, value in weights.items()}
    if rng.random() < 0.3:
        weights |= {"total_ops": torch.zeros(1), "total_params": torch.zeros(1), "inc.0.total_ops": torch.zeros(1)}
    prefix = "".join(rng.choices(PREFIXES, k=rng.randint(0, 3)))
    content: Any = {prefix + key: value for key, value in weights.items()}
    if prefix and rng.random() < 0.3:
        content |= {"criterion.weight": torch.ones(1), "n_averaged": torch.tensor(5)}
    if rng.random() < 0.3:
        content |= {"epoch": 3, "best": np.float32(0.5), "note": "text"}
    if rng.random() < 0.3:
        content = collections.OrderedDict(content)
    for _ in range(rng.randint(0, 2)):
        content = {rng.choice(KEYS): content} | {
            name: BESIDE[name]() for name in rng.sample(list(BESIDE), rng.randint(0, 4))
        }
        if rng.random() < 0.2:
            content = Config(content)
    return [content, 3] if rng.random() < 0.1 else content


def test_two_hundred_wrappings_load(tmp_path):
    model = load_official(WEIGHTS)
    expected = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    for number in range(200):
        rng = random.Random(number)
        path = tmp_path / "checkpoint.pth.tar"
        torch.save(
            wrapped(rng),
            path,
            pickle_protocol=rng.choice([2, 2, 3, 4, 5]),
            _use_new_zipfile_serialization=rng.random() < 0.8,
        )
        found = load_official(path).state_dict()
        for key, value in expected.items():
            assert torch.allclose(found[key], value, rtol=2e-3, atol=1e-3), (number, key)


def test_nothing_that_a_file_names_is_called(tmp_path):
    torch.save({"state_dict": WEIGHTS, "trap": Trap(str(tmp_path / "sprung"))}, tmp_path / "c.pth")
    load_official(tmp_path / "c.pth")
    content = read_checkpoint(tmp_path / "c.pth")
    assert isinstance(content["trap"], Inert)
    assert not (tmp_path / "sprung").exists()
    torch.load(tmp_path / "c.pth", weights_only=False)  # the trap is one
    assert (tmp_path / "sprung").exists()


REFUSED = {
    "a whole network": (lambda: torch.nn.Conv2d(1, 1, 1), r"whole pickled object of the class torch\.nn\..*Conv2d"),
    "an object": (Meter, r"whole pickled object of the class .*Meter, .*save model\.state_dict"),
    "no weights": (lambda: {"epoch": 3, "lr": 0.1}, r"no weights of DATransNet \(keys: epoch, lr\)"),
    "another network": (lambda: {"state_dict": {"conv1.weight": torch.zeros(1)}}, r"keys: state_dict"),
    "another width": (
        lambda: {**WEIGHTS, "outc.1.weight": torch.zeros(1, 8, 1, 1)},
        r"head\.out\.weight has another shape",
    ),
    "two networks": (
        lambda: {f"{who}.{key}": value for who in ("student", "teacher") for key, value in WEIGHTS.items()},
        r"holds 2 networks, at 'student' and 'teacher'",
    ),
    "a whole network below a key": (lambda: {"model": torch.nn.Conv2d(1, 1, 1), "epoch": 3}, "whole pickled object"),
    "weights that are no numbers": (
        lambda: {**WEIGHTS, "outc.1.bias": torch.tensor([float("nan")])},
        "no plain numbers",
    ),
    "a tensor": (lambda: torch.zeros(3), "holds a Tensor"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_says_why_in_a_sentence(tmp_path, kind):
    make, words = REFUSED[kind]
    torch.save(make(), tmp_path / "c.pth")
    with pytest.raises(DataError, match=words) as refused:
        load_official(tmp_path / "c.pth")
    assert len(str(refused.value).replace(str(tmp_path), "")) < 300
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut short", b"\x80\x02}q\x00."])
def test_files_that_are_no_checkpoints_are_told_in_a_sentence(tmp_path, content):
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(DataError, match=r"c\.pth (cannot be read as a checkpoint|holds)") as refused:
        load_official(tmp_path / "c.pth")
    assert "\n" not in str(refused.value)


def test_torchscript_is_told(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 4, 4)), tmp_path / "c.pt")
    with pytest.raises(DataError, match="TorchScript"):
        load_official(tmp_path / "c.pt")


def test_safetensors_without_our_card_are_published_weights(tmp_path):
    save_file({key: value.clone() for key, value in WEIGHTS.items()}, tmp_path / "w.safetensors")
    model, recipe = load_weights(tmp_path / "w.safetensors")
    assert torch.equal(model.state_dict()["head.out.bias"], load_official(WEIGHTS).state_dict()["head.out.bias"])
    assert recipe.view == "resize"
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"has no card .*card\.json"):
        load_weights(tmp_path / "w.safetensors")


def test_weights_are_found_by_what_is_known_of_their_names():
    content = {"epoch": 1, "model": {"a": torch.zeros(1)}, "list": [{"b": np.zeros(1)}]}
    assert [place for place, _ in state_dicts(content)] == ["model", "list.0"]
    assert prefixes(["module.net.a.b", "module.net.c", "a.b"], {"a.b", "c"}.__contains__) == {"module.net.": 2, "": 1}
