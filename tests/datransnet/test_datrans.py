"""DATrans equals its literal form, however its keys are counted, and the neighbourhoods are what they say."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.literal import create_literal, literal_datrans
from datransnet import create_model
from datransnet.layers import datrans
from datransnet.layers.datrans import NEIGHBOURS, DynamicAttentionTransformer, neighbour_kernel
from datransnet.layers.neighbourhood import neighbourhood_conv, neighbourhood_moments, reflect


@pytest.fixture(params=["moments", "keys"])
def path(request, monkeypatch):
    """Both ways to meet the keys, whatever the sizes at hand recommend."""

    def larger(keys, x, d):
        return min(x.shape[2:]) > 2 * d

    monkeypatch.setattr(datrans, "moments_pay", larger if request.param == "moments" else lambda *_: False)


def gradients(form, x, parameters, weights):
    out = form(x)
    return [out, *torch.autograd.grad((out * weights).sum(), [x, *parameters])]


@pytest.mark.parametrize("gradient", ["difference", "plain"])
@pytest.mark.parametrize("dilations", [(1,), (1, 3), (1, 2, 3, 4)])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("training", [True, False])
def test_datrans_equals_its_literal_form(path, gradient, dilations, batch, training):
    block = DynamicAttentionTransformer(6, 16, dilations, area=400.0, gradient=gradient).double().train(training)
    x = torch.rand(batch, 6, 13, 17, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(batch, 6, 13, 17, dtype=torch.float64)
    ours = gradients(block, x, block.parameters(), weights)
    literal = gradients(lambda image: literal_datrans(block, image), x, block.parameters(), weights)
    for a, b in zip(ours, literal, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [(64, 64), (50, 70)])
def test_every_level_of_the_network_equals_its_literal_form(path, size):
    arguments = {"image_size": 64, "width": 8}
    torch.manual_seed(0)
    model = create_model("datransnet", **arguments).double()
    literal = create_literal(**arguments).double()
    literal.load_state_dict(model.state_dict())
    x = torch.rand(2, 1, *size, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 1, *size, dtype=torch.float64)
    parameters = [[p for p in net.parameters() if p.requires_grad] for net in (model, literal)]
    found = [gradients(net, x, p, weights) for net, p in zip((model, literal), parameters, strict=True)]
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-10 * max(1.0, b.abs().max().item()))


def test_float32_is_as_near_to_float64_as_the_literal_form(path):
    ramp = torch.linspace(0, 5, 64).view(64, 1) + torch.linspace(3, 9, 64)
    x = (10 + ramp + 0.05 * torch.randn(2, 16, 64, 64)).float()  # small differences of large values
    block = DynamicAttentionTransformer(16, 16, (1, 3), area=4096.0).eval()
    with torch.no_grad():
        ours, literal = block(x), literal_datrans(block, x)
        exact = literal_datrans(block.double(), x.double())
    worst = (literal - exact).abs().max()
    assert (ours - exact).abs().max() < max(10 * worst, 1e-3 * exact.abs().max())


@settings(max_examples=40)
@given(
    d=st.integers(1, 4),
    more=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.integers(1, 4),
    batch=st.integers(1, 3),
    level=st.sampled_from([0.0, 5.0]),
    seed=st.integers(0, 2**20),
)
def test_moments_are_those_of_the_neighbourhoods(d, more, channels, batch, level, seed):
    torch.manual_seed(seed)
    height, width = (2 * d + extra for extra in more)
    x = (torch.randn(batch, channels, height, width, dtype=torch.float64) + level).requires_grad_()
    padded = reflect(x, d)
    shifts = [(i, j) for i in (0, d, 2 * d) for j in (0, d, 2 * d)]
    n = torch.stack([padded[..., i : i + height, j : j + width] for i, j in shifts], dim=1).flatten(3).flatten(1, 2)
    a, b = (torch.randn(rows, 9 * channels, dtype=torch.float64) for rows in (3, 2))
    moments = neighbourhood_moments(padded, x, d)
    expected = (a @ n) @ (b @ n).transpose(1, 2), (a @ n).square().sum(-1)
    found = moments.inner(a, b), moments.squares(a)
    for mine, theirs in zip(found, expected, strict=True):
        weights = torch.randn_like(theirs)
        assert torch.allclose(mine, theirs, rtol=1e-10, atol=1e-9)
        slopes = [torch.autograd.grad((item * weights).sum(), x, retain_graph=True)[0] for item in (mine, theirs)]
        assert torch.allclose(*slopes, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_convolution_has_a_kernel_for_each_sample(d):
    x = torch.randn(3, 4, 11, 8, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(3, 5, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 5, 11, 8, dtype=torch.float64)

    def one_by_one(image):
        padded = reflect(image, d)
        return torch.cat([F.conv2d(padded[i : i + 1], kernel[i], dilation=d) for i in range(3)])

    found = gradients(lambda image: neighbourhood_conv(reflect(image, d), image, kernel, d), x, [kernel], weights)
    expected = gradients(one_by_one, x, [kernel], weights)
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))


def test_neighbour_kernel_of_a_constant_image_is_zero():
    kernel = neighbour_kernel(torch.rand(5, NEIGHBOURS * 3), "difference")
    assert torch.allclose(kernel.sum(dim=(-1, -2)), torch.zeros(5, 3), atol=1e-5)
