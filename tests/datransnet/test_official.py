"""The network against the released implementation's logits and gradients."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from datransnet import create_model
from datransnet.errors import DataError
from datransnet.losses import soft_iou
from datransnet.models import DATransNet
from datransnet.models.official import load_official, renamed
from tests.datransnet.drawn import drawn_weights

GOLDEN = Path(__file__).parents[1] / "golden"
SEED = 20240919


def published_weights() -> dict[str, torch.Tensor]:
    """Weights in the shape of a published checkpoint, made from the key's number alone."""
    with (GOLDEN / "upstream_state_dict.csv").open(encoding="utf-8") as file:
        rows = {row["key"]: tuple(int(n) for n in row["shape"].split("x") if n) for row in csv.DictReader(file)}
    return drawn_weights(SEED, sorted(rows.items()))


def load_double(image_size: int) -> torch.nn.Module:
    """The network with golden weights, which are in full precision."""
    return load_official(published_weights(), image_size)


def image(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(SEED - 1).random(shape))


@pytest.mark.parametrize(
    ("name", "image_size", "shape", "stride"),
    [
        ("eval_256", 256, (2, 1, 256, 256), 1),
        ("eval_512", 512, (1, 1, 512, 512), 4),
        ("eval_128x192", 256, (1, 1, 128, 192), 1),
    ],
)
def test_logits_match_the_released_network(name, image_size, shape, stride):
    with torch.no_grad():
        logits = load_double(image_size).eval()(image(shape))[..., ::stride, ::stride]
    golden = np.load(GOLDEN / "datransnet.npz")[name]
    assert np.abs(logits.numpy() - golden).max() < 1e-5


def test_training_matches_the_released_network():
    golden = json.loads((GOLDEN / "datransnet_grads.json").read_text(encoding="utf-8"))
    model = load_double(256).train()
    shape = (2, 1, 256, 256)
    logits = model(image(shape))
    mask = torch.as_tensor(np.random.default_rng(SEED - 2).random(shape) > 0.98).double()
    loss = soft_iou(logits, mask)
    loss.backward()
    expected = np.load(GOLDEN / "datransnet.npz")["train_256"]
    assert np.abs(logits.detach().numpy()[..., ::4, ::4] - expected).max() < 1e-5
    assert loss.item() == pytest.approx(golden["train_loss"], abs=1e-9)
    norms = {name: parameter.grad.norm().item() for name, parameter in model.named_parameters()}
    assert set(norms) == {renamed(key, DATransNet) for key in golden["grad_norms"]}
    for key, norm in golden["grad_norms"].items():
        assert norms[renamed(key, DATransNet)] == pytest.approx(norm, rel=1e-6, abs=1e-12), key


def test_full_width_has_the_published_number_of_live_parameters():
    assert sum(p.numel() for p in create_model("datransnet").parameters()) == 2_175_401


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
def test_a_published_file_loads_with_its_wrapper(tmp_path, prefix):
    path = tmp_path / "checkpoint.pth.tar"
    torch.save({"state_dict": {f"{prefix}{key}": value for key, value in published_weights().items()}}, path)
    assert not load_official(path).training


def test_a_strange_file_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match=r"checkpoint\.pth\.tar cannot be read"):
        load_official(path)


def test_a_missing_key_is_refused():
    weights = published_weights()
    del weights["outc.1.bias"]
    with pytest.raises(DataError, match=r"does not fit DATransNet: head\.out\.bias is missing\.$"):
        load_official(weights)


@pytest.mark.parametrize(("content", "words"), [([1, 2], "holds a list"), ({"schema": 1}, "Give its folder")])
def test_what_is_no_state_dict_is_refused(tmp_path, content, words):
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    with pytest.raises(DataError, match=words):
        load_official(path)
