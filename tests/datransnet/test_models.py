"""Conformance of every registered network, and what is DATransNet's own."""

import numpy as np
import pytest
import torch

from datransnet import create_model, list_models
from datransnet.data.dataset import Images
from datransnet.engine.fit import fit
from datransnet.engine.memory_format import ready
from datransnet.engine.recipe import Recipe
from datransnet.errors import ParameterError
from datransnet.models import Network
from datransnet.models.normalised import Normalised

SMALL = {"datransnet": {"image_size": 64, "width": 4}, "unet": {"width": 4}}


@pytest.fixture(params=list_models())
def model(request):
    return create_model(request.param, **SMALL.get(request.param, {}))


@pytest.mark.parametrize("size", [(1, 1), (33, 65), (64, 64), (400, 592)])
def test_any_size_gives_logits_of_that_size(model, size):
    with torch.no_grad():
        logits = model.eval()(torch.rand(1, 1, *size))
    assert logits.shape == (1, 1, *size)
    assert torch.isfinite(logits).all()


def unreached(model):
    """Names of the parameters that two steps of training on all outputs give no gradient."""
    # A fresh GFEM scales its non-local part by zero, so its inner weights get a gradient only after a first step.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        sum(logits.square().mean() for logits in model.train().outputs(torch.rand(2, 1, 64, 64)).values()).backward()
        optimizer.step()
    return {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}


def test_backward_reaches_every_parameter(model, request):
    # A hidden layer that is one ReLU wide passes nothing in half of all starts, by chance; not in eight in a row.
    name = request.node.callspec.params["model"]
    without = unreached(model)
    for _ in range(7):
        if all(key.endswith("bias") for key in without):
            break
        without &= unreached(create_model(name, **SMALL.get(name, {})))
    followed_by_batch_norm = {key for key in without if key.endswith("bias")}
    assert without == followed_by_batch_norm


def test_what_is_ready_to_predict_computes_the_same(model):
    image = torch.rand(2, 1, 70, 50, dtype=torch.float64)
    with torch.no_grad():
        before = model.double().eval()(image)
        after = ready(model.train())(image)
    assert not model.training
    assert torch.allclose(before, after, rtol=1e-9, atol=1e-9 * before.abs().max())
    weights = [each for each in model.parameters() if each.ndim == 4 and each.shape[1] > 1 and each.shape[-1] > 1]
    last = {each.is_contiguous(memory_format=torch.channels_last) for each in weights}
    assert last == {model.channels_last}


def test_somebodys_network_is_ready_as_it_is():
    class Rows(Network):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 2, 3, padding=1)

        def forward(self, image):
            return self.conv(image).view(len(image), 2, -1)[:, :1].view(image.shape)

    model, image = Rows(), torch.rand(1, 1, 9, 8)
    with torch.no_grad():
        assert torch.equal(model(image), ready(model)(image))


def test_what_has_weights_of_volumes_is_ready_as_it_is():
    class Volumes(Network):
        channels_last = True

        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv3d(1, 2, 3, padding=1)

        def forward(self, image):
            return self.conv(image[:, :, None])[:, :1, 0]

    model, image = Volumes(), torch.rand(1, 1, 9, 8)
    with torch.no_grad():
        assert torch.equal(model(image), ready(model)(image))


def test_outputs_begin_with_what_forward_returns(model):
    image = torch.rand(2, 1, 40, 50)
    with torch.no_grad():
        outputs = model.eval().outputs(image)
        assert next(iter(outputs)) == "out"
        assert torch.equal(outputs["out"], model(image))
    for logits in outputs.values():
        step = round(40 / logits.shape[-2])
        assert logits.shape == (2, 1, -(-40 // step), -(-50 // step))


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


def test_half_precision_weights_run(model):
    model = model.eval().bfloat16()
    with torch.no_grad():
        logits = model(torch.rand(1, 1, 40, 50, dtype=torch.bfloat16))
    assert logits.dtype == torch.bfloat16
    assert torch.isfinite(logits).all()


def test_a_blank_image_has_finite_logits_and_gradients(model):
    image = torch.zeros(2, 1, 64, 64, requires_grad=True)
    logits = model.train()(image)
    logits.square().mean().backward()
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_compiling_breaks_no_graph(model):
    torch.compiler.reset()  # networks share a forward pass, and torch counts how often that is compiled
    compiled = torch.compile(model.double(), fullgraph=True, backend="aot_eager")
    image = torch.rand(2, 1, 64, 64, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = compiled(image)
        torch.manual_seed(0)  # the same dropout
        expected = model(image)
    assert torch.allclose(found, expected, atol=1e-5)
    found.mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


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


@pytest.mark.parametrize("arguments", [{"width": 2}, {"depth": 0}, {"depth": "deep"}])
def test_a_wrong_argument_of_the_baseline_is_named(arguments):
    with pytest.raises(ParameterError, match=next(iter(arguments))):
        create_model("unet", **arguments)


def test_resuming_equals_not_stopping(model, request, tmp_path):
    name = request.node.callspec.params["model"]
    rng = np.random.default_rng(0)
    masks = rng.random((5, 32, 32)) > 0.98
    pixels = rng.integers(0, 200, (5, 32, 32), dtype=np.uint8) + 50 * masks.astype(np.uint8)
    images = Images([str(number) for number in range(5)], list(pixels), list(masks))
    recipe = Recipe(epochs=2, batch_size=2, view="crop", size=32, augment=True, normalise="dataset")
    start = {key: value.clone() for key, value in model.state_dict().items()}

    def fitting(**options):
        network = create_model(name, **SMALL.get(name, {}))
        network.load_state_dict(start)
        normalised = Normalised(network)
        return normalised, fit(normalised, images.subset([0, 1, 2, 3]), images.subset([4]), recipe, seed=1, **options)

    whole, epochs = fitting()
    expected = [epoch["loss"] for epoch in epochs]
    _, cut_off = fitting(checkpoint=tmp_path / "c.pt")
    next(cut_off)
    cut_off.close()
    again, epochs = fitting(checkpoint=tmp_path / "c.pt")
    assert [epoch["loss"] for epoch in epochs] == expected
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
