"""Normalisation by the training images: measured once, kept with the weights, the same for whoever loads them."""

import json

import numpy as np
import pytest
import torch

from datransnet.data.dataset import Images
from datransnet.engine.fit import fit
from datransnet.engine.recipe import Recipe
from datransnet.weights import create_trainable, load_weights, save_weights

ARGUMENTS = {"name": "unet", "width": 4, "depth": 1}
RECIPE = Recipe(epochs=2, batch_size=2, view="crop", size=32, normalise="dataset")


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 40, 40), dtype=bool)
    masks[:, 10:13, 20:23] = True
    pixels = rng.integers(60, 120, (6, 40, 40), dtype=np.uint8) + 100 * masks.astype(np.uint8)
    return Images([str(number) for number in range(6)], list(pixels), list(masks))


def trained(images, recipe, **options):
    torch.manual_seed(0)
    model = create_trainable(ARGUMENTS, recipe)
    history = list(fit(model, images.subset([0, 1, 2, 3]), images.subset([4, 5]), recipe, seed=0, **options))
    return model.eval(), history


def test_statistics_are_those_of_the_training_images(images):
    model, _ = trained(images, RECIPE)
    learnt = np.stack(images.images[:4]) / 255
    assert model.mean.item() == pytest.approx(learnt.mean((1, 2)).mean(), rel=1e-6)
    assert model.std.item() == pytest.approx(learnt.std((1, 2)).mean(), rel=1e-6)


def test_training_sees_normalised_images(images):
    model, _ = trained(images, RECIPE)
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(image), model.network((image - model.mean) / model.std))
        assert torch.equal(model.outputs(image)["out"], model(image))


def test_weights_and_card_keep_the_statistics(images, tmp_path):
    model, _ = trained(images, RECIPE)
    save_weights(tmp_path, model, ARGUMENTS, RECIPE)
    again, recipe = load_weights(tmp_path)
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(image), model(image))
    assert recipe == RECIPE
    card = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert card["normalisation"] == {"mean": model.mean.item(), "std": model.std.item()}


def test_resuming_equals_not_stopping(images, tmp_path):
    _, expected = trained(images, RECIPE)
    torch.manual_seed(0)
    epochs = fit(
        create_trainable(ARGUMENTS, RECIPE),
        images.subset([0, 1, 2, 3]),
        images.subset([4, 5]),
        RECIPE,
        seed=0,
        checkpoint=tmp_path / "c.pt",
    )
    next(epochs)
    epochs.close()
    _, found = trained(images, RECIPE, checkpoint=tmp_path / "c.pt")
    assert [each["loss"] for each in found] == [each["loss"] for each in expected]


def test_flat_images_have_a_deviation_of_one_grey_level():
    model = create_trainable(ARGUMENTS, RECIPE)
    model.measure([np.full((8, 8), 51, dtype=np.uint8)])
    assert model.mean.item() == pytest.approx(0.2)
    assert model.std.item() == pytest.approx(1 / 255)


def test_an_ordinary_recipe_leaves_images_as_they_are():
    assert not hasattr(create_trainable(ARGUMENTS, Recipe()), "measure")
