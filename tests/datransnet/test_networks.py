"""Networks of the field against outputs of their public copies, with weights drawn from the keys' numbers.

``golden/networks.json`` holds each public state dict's keys and shapes and the outputs' statistics (computed in double
precision from copies that are not part of this project), so that keys are ours only if they are theirs.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from datransnet import create_model, list_models
from datransnet.errors import DataError
from datransnet.models import MODELS
from datransnet.models.official import load_official
from tests.conftest import OUTSIDE
from tests.datransnet.drawn import drawn_weights

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/networks.json").read_text(encoding="utf-8"))
FULL = OUTSIDE / "golden/networks"
TOLERANCE = 1e-9
DIRECTIONS = ((0, 0), (0, 2), (0, 4), (2, 4), (4, 4), (4, 2), (4, 0), (2, 0))
"""Where RDIAN's fixed kernels ``d11`` … ``d18`` are −1; their centre is 1."""


def drawn(name: str) -> dict[str, torch.Tensor]:
    """Weights in the shape of a published checkpoint, in double precision."""
    weights = drawn_weights(GOLDEN[name]["seed"], GOLDEN[name]["keys"])
    for key in [key for key in weights if name == "rdian" and key.startswith("d1")]:
        kernel = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
        kernel[0, 0, 2, 2], kernel[(0, 0, *DIRECTIONS[int(key[2]) - 1])] = 1, -1
        weights[key] = kernel
    return weights


def outputs(name: str, height: int, width: int) -> dict[str, torch.Tensor]:
    """What the network returns for the golden image."""
    shape = (1, GOLDEN[name]["in_channels"], height, width)
    image = torch.as_tensor(np.random.default_rng(GOLDEN[name]["seed"] - 1).random(shape))
    network = load_official(drawn(name), model=name)
    with torch.no_grad():
        found = network.outputs(image)
        assert torch.equal(network(image), found["out"])
    return found


@pytest.mark.parametrize("name", GOLDEN)
def test_outputs_have_the_statistics_of_the_public_copies(name):
    found = outputs(name, 128, 192)
    for output, (shape, *expected) in GOLDEN[name]["outputs"].items():
        logits = found[output].numpy()
        assert list(logits.shape) == shape
        assert [logits.mean(), logits.std(), logits.min(), logits.max()] == pytest.approx(expected, rel=TOLERANCE)
    assert set(found) == set(GOLDEN[name]["outputs"])


@pytest.mark.parametrize("size", [(256, 256), (128, 192)])
@pytest.mark.parametrize("name", GOLDEN)
def test_outputs_equal_those_of_the_public_copies(name, size):
    file = FULL / f"{name}.npz"
    if not file.exists():
        pytest.skip("needs the whole golden outputs, which are not part of the project")
    found, golden = outputs(name, *size), np.load(file)
    for output, logits in found.items():
        expected = golden[f"{output}_{size[0]}x{size[1]}"]
        scale = np.abs(expected).max()
        assert np.abs(logits.numpy()[..., ::4, ::4] - expected).max() < TOLERANCE * scale


@pytest.mark.parametrize("name", GOLDEN)
def test_every_live_parameter_is_there_and_no_other(name):
    count = sum(parameter.numel() for parameter in create_model(name).parameters())
    fixed = 200 if name == "rdian" else 0  # its kernels of directions, which are subtractions here
    assert count + fixed == GOLDEN[name]["live_parameters"]


@pytest.mark.parametrize("name", GOLDEN)
def test_keys_are_those_of_published_checkpoints(name):
    weights = drawn(name)
    network = load_official(
        {"epoch": 1, "state_dict": {f"module.model.{key}": w for key, w in weights.items()}}, model=name
    )
    kept = network.state_dict()
    assert set(kept) <= set(weights)
    with pytest.raises(DataError, match=f"does not fit {type(network).__name__}"):
        load_official({key: weights[key] for key in list(weights) if key != next(iter(kept))}, model=name)


def test_every_network_but_our_own_baseline_is_held_against_a_public_copy():
    assert {MODELS["mshnet"] if name == "mshnet_1ch" else MODELS[name] for name in GOLDEN} == {
        MODELS[name] for name in list_models() if name not in {"datransnet", "unet"}
    }


def test_weights_of_mshnet_for_three_channels_give_the_same_logits_of_a_grey_image():
    generator = torch.Generator().manual_seed(1)
    weights = drawn("mshnet_1ch")
    first = torch.randn(16, 3, 1, 1, generator=generator, dtype=torch.float64)
    image = torch.rand(1, 1, 32, 32, generator=generator, dtype=torch.float64)
    network = load_official(weights | {"conv_init.weight": first}, model="mshnet")
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
    expected = torch.nn.functional.conv2d((image - mean) / std, first, weights["conv_init.bias"])
    assert torch.allclose(network.conv_init(image), expected, atol=1e-12)
