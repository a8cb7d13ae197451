"""Losses against the public functions' values, and deep supervision."""

import numpy as np
import pytest
import torch

from datransnet import create_model
from datransnet.losses import LOSSES
from datransnet.losses.scale_location import location
from datransnet.losses.supervision import supervised
from tests.conftest import OUTSIDE

EXPECTED = {
    "basicirstd_softiou": lambda a, b, mask: LOSSES["soft_iou"](a, mask),
    "basicirstd_softiou_two": lambda a, b, mask: supervised(LOSSES["soft_iou"], {"out": a, "side": b}, mask, 1),
    "sls_epoch6": lambda a, b, mask: LOSSES["sls"](a, mask),
    "sls_epoch50": lambda a, b, mask: LOSSES["sls"](a, mask),
    "sls_location": lambda a, b, mask: location(a.sigmoid(), mask),
    "sctransnet_bce_two": lambda a, b, mask: 2 * supervised(LOSSES["bce"], {"out": a, "side": b}, mask, 1),
    "softiou_per_image": lambda a, b, mask: LOSSES["soft_iou_image"](a, mask),
}
"""Golden name → the same by ours; SCTransNet adds the losses up where ours takes their mean."""


@pytest.fixture(scope="module")
def golden():
    file = OUTSIDE / "golden/networks/losses.npz"
    if not file.exists():
        pytest.skip("needs the golden losses, which are not part of the project")
    return np.load(file)


@pytest.mark.parametrize("name", EXPECTED)
def test_losses_have_the_values_of_the_public_functions(name, golden):
    logits, second, mask = (torch.as_tensor(golden[key]).double() for key in ("logits", "logits2", "mask"))
    assert EXPECTED[name](logits, second, mask).item() == pytest.approx(float(golden[name]), rel=1e-9)


@pytest.mark.parametrize("name", list(LOSSES))
@pytest.mark.parametrize("level", [-300.0, 0.0, 300.0])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_losses_and_gradients_are_finite_where_there_is_nothing_or_all(name, level, target):
    logits = torch.full((2, 1, 8, 8), level, requires_grad=True)
    loss = LOSSES[name](logits, torch.full((2, 1, 8, 8), target))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_a_coarse_output_is_compared_with_the_targets_in_its_pixels():
    mask = torch.zeros(1, 1, 5, 5)
    mask[..., 4, 4] = 1
    right, wrong = torch.full((1, 1, 3, 3), -50.0), torch.full((1, 1, 3, 3), -50.0)
    right[..., 2, 2] = wrong[..., 0, 0] = 50
    out = 100 * mask - 50
    losses = [supervised(LOSSES["bce"], {"out": out, "side": side}, mask, 1).item() for side in (right, wrong)]
    assert losses[0] < 1e-6 < losses[1]


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_the_weights_of_a_loss_over_outputs_add_up_to_one(weight):
    same = torch.randn(2, 1, 8, 8)
    mask = (torch.rand(2, 1, 8, 8) > 0.8).float()
    found = supervised(LOSSES["dice"], {"out": same, "a": same, "b": same}, mask, weight)
    assert found.item() == pytest.approx(LOSSES["dice"](same, mask).item(), rel=1e-6)


def test_side_outputs_are_trained_only_if_they_weigh():
    model = create_model("mshnet")
    image, mask = torch.rand(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    outputs = model.train().outputs(image)
    supervised(LOSSES["bce"], {name: outputs[name] for name in ("out", "mask3")}, mask, 0).backward()
    alone = model.output_3.weight.grad.clone()
    model.zero_grad()
    outputs = model.train().outputs(image)
    supervised(LOSSES["bce"], {name: outputs[name] for name in ("out", "mask3")}, mask, 1).backward()
    assert not torch.equal(alone, model.output_3.weight.grad)
