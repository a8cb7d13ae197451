"""Conformance of every registered network, and what is DATransNet's own."""

import pytest
import torch
import torch.nn.functional as F

from datransnet import create_model, list_models
from datransnet.errors import ParameterError
from datransnet.layers.datrans import NEIGHBOURS, DynamicAttentionTransformer, neighbour_kernel

SMALL = {"datransnet": {"image_size": 64, "width": 4}}


@pytest.fixture(params=list_models())
def model(request):
    return create_model(request.param, **SMALL.get(request.param, {}))


@pytest.mark.parametrize("size", [(1, 1), (33, 65), (64, 64), (100, 148)])
def test_any_size_gives_logits_of_that_size(model, size):
    with torch.no_grad():
        logits = model.eval()(torch.rand(1, 1, *size))
    assert logits.shape == (1, 1, *size)
    assert torch.isfinite(logits).all()


def test_backward_reaches_every_parameter(model):
    # A fresh GFEM scales its non-local part by zero, so its inner weights get a gradient only after a first step.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model.train()(torch.rand(2, 1, 64, 64)).square().mean().backward()
        optimizer.step()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    followed_by_batch_norm = [name for name in without if name.endswith("bias")]
    assert without == followed_by_batch_norm


def test_evaluation_does_not_depend_on_the_batch(model):
    images = torch.rand(3, 1, 64, 64)
    with torch.no_grad():
        together = model.double().eval()(images.double())
        alone = torch.cat([model(image[None].double()) for image in images])
    assert torch.allclose(together, alone, atol=1e-10)


def test_bfloat16_stays_near_float32(model):
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        exact = model.eval()(image).sigmoid()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(image).float().sigmoid()
    assert (exact - half).abs().max() < 0.1


def test_weights_survive_saving(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    before = [p.clone() for p in model.parameters()]
    for p in model.parameters():
        p.data.zero_()
    model.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(
    "arguments",
    [
        {"datrans": False},
        {"gfem": False},
        {"dilations": [1]},
        {"dilations": [1, 2, 3]},
        {"dilations": [[1, 3], [1, 5], [2], [1]]},
        {"gradient": "plain"},
        {"width": 6},
    ],
)
def test_variants_train(arguments):
    model = create_model("datransnet", **{"image_size": 64, "width": 4, **arguments})
    model(torch.rand(2, 1, 64, 64)).mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widht": 8}, "widht"),
        ({"width": 3}, "at least 4"),
        ({"dilations": [0, 1]}, "positive"),
        ({"dilations": [[1], [1]]}, "4 levels"),
        ({"gradient": "sobel"}, "difference, plain"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ParameterError, match=message):
        create_model("datransnet", **arguments)


def test_an_unknown_model_gets_a_suggestion():
    with pytest.raises(ParameterError, match="Did you mean 'datransnet'"):
        create_model("datransent")


def literal_datrans(block: DynamicAttentionTransformer, x: torch.Tensor) -> torch.Tensor:
    """DATrans as the paper writes it: eight differences, concatenated; keys and values formed; heads by reshape."""
    batch, _, height, width = x.shape
    queries, keys, values = [], [], []
    for index, d in enumerate(block.dilations):
        padded = F.pad(x, (d, d, d, d), mode="reflect")
        shifts = [(i, j) for i in (0, d, 2 * d) for j in (0, d, 2 * d) if (i, j) != (d, d)]
        centre = x if block.gradient == "difference" else 0
        neighbours = [padded[..., i : i + height, j : j + width] - centre for i, j in shifts]
        differences = torch.cat(neighbours, dim=1)
        queries.append(block.queries[index](x))
        keys.append(block.keys[index](differences))
        values.append(block.values[index](differences))
    n = len(block.dilations)
    q, k, v = (torch.stack(items, dim=2).reshape(batch, n, -1, height * width) for items in (queries, keys, values))
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2) / block.area**0.5
    attended = F.instance_norm(scores).softmax(dim=-1) @ v
    return block.out(attended.reshape(batch, -1, height, width))


@pytest.mark.parametrize("gradient", ["difference", "plain"])
@pytest.mark.parametrize("dilations", [(1,), (1, 3), (1, 2, 3, 4)])
@pytest.mark.parametrize("batch", [1, 5])
def test_datrans_equals_its_literal_form(gradient, dilations, batch):
    block = DynamicAttentionTransformer(6, 16, dilations, area=400.0, gradient=gradient).double()
    x = torch.rand(batch, 6, 13, 17, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(batch, 6, 13, 17, dtype=torch.float64)
    results = []
    for form in (block, lambda image: literal_datrans(block, image)):
        out = form(x)
        results.append([out, *torch.autograd.grad((out * weights).sum(), [x, *block.parameters()])])
    for ours, literal in zip(*results, strict=True):
        assert torch.allclose(ours, literal, rtol=1e-10, atol=1e-12)


def test_neighbour_kernel_of_a_constant_image_is_zero():
    kernel = neighbour_kernel(torch.rand(5, NEIGHBOURS * 3), "difference")
    assert torch.allclose(kernel.sum(dim=(-1, -2)), torch.zeros(5, 3), atol=1e-5)
