"""Decoded once, shared by processes, and shown as the recipe says."""

import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datransnet.data.batch_recipe import BatchRecipe
from datransnet.data.dataset import Images, load_part
from datransnet.data.loader import Loader, at_size, shrink, to_input
from datransnet.data.paste import lift_targets, paste
from datransnet.data.pixel_cache import cached_pixels
from datransnet.data.transforms import resample, resize_image, resize_mask, vary


@pytest.fixture
def data(scenes, tmp_path):
    return shutil.copytree(scenes, tmp_path / "study/data")


def one_target(height=60, width=90, row=3, column=88):
    image, mask = np.zeros((height, width), dtype=np.uint8), np.zeros((height, width), dtype=bool)
    image[row, column], mask[row, column] = 200, True
    return Images(["a"], [image], [mask])


def test_pixels_are_decoded_once(data):
    first = load_part(data, "train")
    for image in data.rglob("*.png"):
        image.unlink()
    again = load_part(data, "train", "val")
    assert set(first.ids) < set(again.ids)
    assert all(np.array_equal(first.images[n], again.images[again.ids.index(id_)]) for n, id_ in enumerate(first.ids))
    assert again.masks[0].dtype == bool
    assert not again.images[0].flags.writeable


def test_of_a_dataset_split_anew_the_old_pixels_go(data):
    load_part(data, "train")
    (old,) = (data.parent / ".decoded").iterdir()
    (stale := old.with_name("data-0123456789abcdef")).mkdir()
    others = [old.with_name(f"{name}-0123456789abcdef") for name in ("other", "data-V2")]
    for other in others:
        other.mkdir()
    load_part(data, "train")
    assert old.is_dir()
    assert all(other.is_dir() for other in others)
    assert not stale.exists()


@pytest.mark.parametrize("damage", [lambda file: os.truncate(file, 1000), lambda file: file.write_bytes(b"no array")])
def test_damaged_pixels_are_decoded_again(data, damage):
    before = load_part(data, "test")
    kept = [image.copy() for image in before.images]
    del before
    (file,) = (data.parent / ".decoded").rglob("pixels.npy")
    damage(file)
    assert all(np.array_equal(a, b) for a, b in zip(kept, load_part(data, "test").images, strict=True))


def test_where_nothing_can_be_written_pixels_stay_in_memory(tmp_path):
    (tmp_path / "file").write_text("in the way of a folder", encoding="utf-8")
    array = np.arange(6, dtype=np.uint8)
    assert np.array_equal(cached_pixels(tmp_path / "file" / "pixels.npy", lambda: array), array)


def test_whole_images_at_one_size_are_shared_too(data):
    images = load_part(data, "train")
    whole = at_size(images, 32)
    assert whole.shape == (len(images), 2, 32, 32)
    assert not whole.flags.writeable
    assert np.array_equal(whole[2, 0], shrink(images.images[2], 32))
    assert np.array_equal(whole, at_size(Images(images.ids, images.images, images.masks), 32))


@pytest.mark.parametrize("view", ["crop", "resize"])
def test_an_epoch_shows_every_image_once(scenes, view):
    data = load_part(scenes, "train")
    how = BatchRecipe(view=view, size=64, target_share=0.5, zoom=1.5, augment=True, intensity=0.5, paste=0.5)
    seen = list(Loader(data, how).epoch(np.random.default_rng(0)))
    assert [len(images) for images, _ in seen] == [4, 4]  # nine images: the last batch of one is left out
    for images, masks in seen:
        assert images.shape == masks.shape == (4, 1, 64, 64)
        assert 0 <= images.min() <= images.max() <= 1
        assert set(masks.unique().tolist()) <= {0.0, 1.0}
    again = list(Loader(data, how).epoch(np.random.default_rng(0)))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(seen, again, strict=True))


@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_a_window_on_a_target_holds_it(zoom):
    loader = Loader(one_target(), BatchRecipe(view="crop", size=32, target_share=1.0, zoom=zoom, augment=True))
    for seed in range(20):
        images, masks = loader.batch(np.array([0]), np.random.default_rng(seed))
        assert images.shape == (1, 1, 32, 32)
        assert zoom > 1 or masks.sum() == 1
        assert (images.max() > 0.1) or zoom > 1


def test_all_eight_symmetries_are_shown_to_image_and_mask_alike():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, size=(32, 32), dtype=np.uint8)
    loader = Loader(Images(["a"], [image], [image > 99]), BatchRecipe(view="crop", size=32, augment=True))
    shown = set()
    for _ in range(200):
        images, masks = loader.batch(np.array([0]), rng)
        assert torch.equal(images > 99 / 255, masks > 0)
        shown.add(images.numpy().tobytes())
    assert len(shown) == 8


@given(
    shapes=st.lists(st.tuples(st.integers(5, 90), st.integers(5, 90)), min_size=1, max_size=4),
    how=st.builds(
        BatchRecipe,
        view=st.sampled_from(["crop", "resize"]),
        size=st.integers(32, 48),
        target_share=st.sampled_from([0.0, 0.5]),
        zoom=st.sampled_from([1.0, 1.5]),
        intensity=st.sampled_from([0.0, 0.5]),
        augment=st.booleans(),
    ),
    seed=st.integers(0, 99),
)
def test_an_accelerator_cuts_the_batches_that_the_host_cuts(shapes, how, seed):
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, size=shape, dtype=np.uint8) for shape in shapes]
    host = Loader(Images([str(n) for n in range(len(images))], images, [image > 200 for image in images]), how)
    there = Loader(host.data, how, "cpu:0")  # to the loader every device but "cpu" is an accelerator
    assert there.resident is not None
    epochs = [list(loader.epoch(np.random.default_rng(seed))) for loader in (host, there)]
    for here, cut in zip(*epochs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(here, cut, strict=True))


@given(st.lists(st.integers(8, 40), min_size=1, max_size=4), st.integers(8, 48), st.integers(0, 99))
def test_windows_of_all_sizes_are_resized_at_once_as_one_by_one(windows, size, seed):
    batch = torch.rand(len(windows), 1, 40, 40, generator=torch.Generator().manual_seed(seed))
    together = resample(batch, torch.tensor(windows), size, "bilinear")
    chosen = resample((batch > 0.5).float(), torch.tensor(windows), size, "nearest")
    for place, window in enumerate(windows):
        own = batch[place : place + 1, :, :window, :window]
        assert torch.allclose(together[place], resize_image(own, size, size)[0], atol=1e-4)
        # where a pixel's centre falls between two pixels, either is the nearest
        nearest = resize_mask((own > 0.5).float(), size, size)[0, 0]
        edges = (torch.arange(size) + 0.5) * window / size
        between = (edges - edges.round()).abs() < 1e-4
        clear = ~(between[:, None] | between[None, :])
        assert torch.equal(chosen[place, 0][clear], nearest[clear])


def test_contrast_is_about_the_mean_and_brightness_is_added():
    batch = torch.rand(3, 1, 9, 9) / 4 + 0.4
    varied = vary(batch, torch.tensor([1.0, 0.5, 1.2]), torch.tensor([0.1, 0.0, -0.1]))
    assert torch.allclose(varied[0], batch[0] + 0.1)
    assert torch.allclose(varied[1] - varied[1].mean(), (batch[1] - batch[1].mean()) / 2, atol=1e-6)
    moved = varied.mean(dim=(1, 2, 3)) - batch.mean(dim=(1, 2, 3))
    assert torch.allclose(moved, torch.tensor([0.1, 0.0, -0.1]), atol=1e-6)


def test_pixels_become_numbers_between_0_and_1():
    assert to_input(np.array([[[0, 51, 255]]], dtype=np.uint8)).flatten().tolist() == pytest.approx([0, 0.2, 1])


def test_a_pasted_target_is_brighter_than_where_it_lands():
    image, mask = np.full((20, 20), 50, dtype=np.uint8), np.zeros((20, 20), dtype=bool)
    image[5:7, 8:11], mask[5:7, 8:11] = 90, True
    (target,) = lift_targets([image], [mask])
    assert np.array_equal(target.excess, np.full((2, 3), 40))
    there, pasted = paste(
        np.full((9, 9), 100, dtype=np.uint8), np.zeros((9, 9), dtype=bool), [target], np.random.default_rng(0)
    )
    assert pasted.sum() == 6
    assert (there[pasted] == 140).all()
    assert (there[~pasted] == 100).all()


def test_pasted_targets_have_the_scale_of_the_image_they_are_in():
    image, mask = np.zeros((512, 512), dtype=np.uint8), np.zeros((512, 512), dtype=bool)
    image[40:48, 40:48], mask[40:48, 40:48] = 200, True
    loader = Loader(Images(["a"], [image], [mask]), BatchRecipe(view="resize", size=128, paste=1.0, batch_size=1))
    _, masks = next(loader.epoch(np.random.default_rng(0)))
    assert int(masks.sum()) == 2 * 2 * 2  # two targets of 8×8 at a quarter of the size


@pytest.mark.parametrize(("batch_size", "images"), [(1, 5), (2, 4), (4, 4)])
def test_only_a_last_batch_of_one_is_left_out(batch_size, images):
    five = Images(list("abcde"), *([array] * 5 for array in (one_target().images[0], one_target().masks[0])))
    loader = Loader(five, BatchRecipe(view="crop", size=32, batch_size=batch_size))
    assert sum(len(batch) for batch, _ in loader.epoch(np.random.default_rng(0))) == images
