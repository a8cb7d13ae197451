"""The training loop: it learns, it can be stopped anywhere, and it says when it cannot go on."""

import multiprocessing
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from datransnet import create_model
from datransnet.data.dataset import Images, load_part
from datransnet.data.loader import Loader
from datransnet.engine.checkpoint import load_checkpoint, save_checkpoint
from datransnet.engine.fit import _Training, fit
from datransnet.engine.predict import _predict_equal, predict, predict_image, tiled
from datransnet.engine.recipe import LossName, Recipe
from datransnet.errors import DataError, TrainingError
from datransnet.losses import LOSSES
from datransnet.models.registry import Network
from datransnet.weights import create_trainable, load_weights, save_weights

RECIPE = Recipe(epochs=3, batch_size=4, lr=5e-3, view="crop", size=32, augment=True, target_share=0.5)

SCRIPT = """
import sys, torch
from pathlib import Path
from datransnet import create_model
from datransnet.data.dataset import load_part
from datransnet.engine.fit import fit
from datransnet.engine.recipe import Recipe
torch.manual_seed(0); torch.set_num_threads(1)
data, checkpoint = Path(sys.argv[1]), Path(sys.argv[2])
recipe = Recipe(epochs=30, batch_size=4, lr=5e-3, view="crop", size=32, augment=True, target_share=0.5)
model = create_model("datransnet", image_size=32, width=4)
for metrics in fit(model, load_part(data, "train"), load_part(data, "val"), recipe, seed=1, checkpoint=checkpoint):
    print(metrics["epoch"], flush=True)
print(recipe.epochs + 1, flush=True)
sys.stdin.read()  # who is to be killed does not end before
torch.save(model.state_dict(), checkpoint.with_name("final.pt"))
"""


def small() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model("datransnet", image_size=32, width=4)


class OneConvolution(Network):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image):
        return self.conv(image)


def one_convolution() -> Network:
    torch.manual_seed(0)
    return OneConvolution()


def losses(epochs) -> list[float]:
    return [metrics["loss"] for metrics in epochs]


def test_training_learns(scenes):
    train = load_part(scenes, "train")
    recipe = Recipe(epochs=25, batch_size=2, lr=1e-2, view="crop", size=48, loss="soft_iou_bce", validate_every=25)
    history = list(fit(small(), train, train, recipe, seed=1))
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]  # on four seeds it was 0.20 to 0.24 times that


OPTIONS = [
    {},
    {"ema": 0.9, "clip": 1.0, "accumulate": 2, "schedule": "one_cycle", "intensity": 0.5, "paste": 0.5},
    {"precision": "bf16", "patience": 1},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_resuming_equals_not_stopping(scenes, tmp_path, options):
    train, validation = load_part(scenes, "train"), load_part(scenes, "val")
    whole, parts = small(), small()
    recipe = replace(RECIPE, **options)
    expected = losses(fit(whole, train, validation, recipe, seed=1))
    first = fit(parts, train, validation, recipe, seed=1, checkpoint=tmp_path / "c.pt")
    next(first)
    first.close()
    again = small()
    found = losses(fit(again, train, validation, recipe, seed=1, checkpoint=tmp_path / "c.pt"))
    assert found == expected
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


ASKING = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal"}
"""Operations whose result Python asks for, so that the host waits until an accelerator has done all before."""


class Asked(TorchDispatchMode):
    """Notes the operations of `ASKING`, but for those of an optimiser: it counts its steps in the host's memory."""

    def __init__(self) -> None:
        super().__init__()
        self.found, self.steps = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ASKING and not self.steps:
            self.found.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("options", [*OPTIONS, {"loss": "sls", "zoom": 1.5}])
def test_no_step_asks_for_a_result(scenes, options):
    asked, looks = Asked(), []

    def begin(*_):
        asked.steps += 1

    def end(*_):
        asked.steps -= 1

    hooks = [register_optimizer_step_pre_hook(begin), register_optimizer_step_post_hook(end)]
    train = load_part(scenes, "train")
    # Torch's average of the weights asks how many steps it has seen; of all switches it alone does so.
    training = _Training(small(), replace(RECIPE, **options | {"ema": 0.0}), "cpu")
    loader = Loader(train, training.recipe)
    try:
        with asked:
            torch.ones(()).item()  # so that this test sees one
            looks.append(len(asked.found))
            training.epoch(loader, 1, 1)
            looks.append(len(asked.found))
    finally:
        for hook in hooks:
            hook.remove()
    assert looks == [1, 1], asked.found


def test_weights_lie_as_the_recipe_says_in_training_and_when_loaded(scenes, tmp_path):
    def is_laid_out(model):
        weights = [each for each in model.parameters() if each.ndim == 4 and each.shape[1] > 1 and each.shape[-1] > 1]
        return {each.is_contiguous(memory_format=torch.channels_last) for each in weights}

    train, arguments = load_part(scenes, "train"), {"name": "unet", "width": 4, "depth": 1}
    recipe = replace(RECIPE, channels_last=True, ema=0.9)

    def trained(epochs, **options):
        torch.manual_seed(0)
        model = create_trainable(arguments, recipe)
        training = fit(model, train, train, recipe, seed=1, **options)
        return model, [next(training)["loss"] for _ in range(epochs)]

    trained(1, checkpoint=tmp_path / "c.pt")
    resumed, found = trained(recipe.epochs, checkpoint=tmp_path / "c.pt")
    assert found == trained(recipe.epochs)[1]
    save_weights(tmp_path, resumed, arguments, recipe)
    assert is_laid_out(resumed) == is_laid_out(load_weights(tmp_path)[0]) == {True}
    assert is_laid_out(create_trainable(arguments, RECIPE)) == {False}


def test_a_compiled_training_is_the_same_up_to_the_order_of_sums(scenes):
    train = load_part(scenes, "train")
    recipe = Recipe(epochs=1, batch_size=4, lr=1e-3, view="crop", size=32)
    found = [losses(fit(one_convolution(), train, train, replace(recipe, compile=on), seed=1)) for on in (False, True)]
    assert found[1] == pytest.approx(found[0], rel=1e-4)


@pytest.mark.parametrize(("first", "second"), [("cpu", "cpu:0"), ("cpu:0", "cpu")])
def test_a_training_goes_on_on_another_kind_of_device(scenes, tmp_path, first, second):
    """To the engine every device but "cpu" is an accelerator; "cpu:0" is the one that every machine has."""
    train, validation = load_part(scenes, "train"), load_part(scenes, "val")
    recipe = replace(RECIPE, epochs=3, view="crop", zoom=1.5, intensity=0.5, target_share=0.5, ema=0.9)
    begun = fit(small(), train, validation, recipe, seed=1, device=first, checkpoint=tmp_path / "c.pt")
    earlier = next(begun)
    begun.close()
    saved = load_checkpoint(tmp_path / "c.pt")["optimizer"]["state"]
    resumed = _Training(small(), recipe, second)
    resumed.load(tmp_path / "c.pt")
    assert {group["fused"] for group in resumed.optimizer.param_groups} == {True if second == "cpu:0" else None}
    loaded = resumed.optimizer.state_dict()["state"]
    assert all(torch.equal(loaded[number][name], value) for number in saved for name, value in saved[number].items())
    found = list(fit(small(), train, validation, recipe, seed=1, device=second, checkpoint=tmp_path / "c.pt"))
    assert found[0] == earlier
    assert [metrics["epoch"] for metrics in found] == [1, 2, 3]


def test_prediction_keeps_the_order_of_images_and_their_own_sizes(scenes):
    images = load_part(scenes, "test")
    rng = np.random.default_rng(0)
    sizes = [(32, 32)] * 20 + [(32, 48)] * 3 + [(32, 32), (64, 32)]
    mixed = Images(
        [str(number) for number in range(len(sizes))],
        [rng.choice(images.images)[:height, :width] for height, width in sizes],
        [np.zeros(size, dtype=bool) for size in sizes],
    )
    model, recipe = small(), Recipe(view="crop", size=48, batch_size=4)
    alone = list(predict(model, mixed, recipe, "cpu"))
    together = list(predict(model, mixed, recipe, "cpu:0"))
    assert [scores.shape for scores in together] == [image.shape for image in mixed.images]
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(alone, together, strict=True))


def test_images_that_are_predicted_together_score_as_alone(scenes):
    images = load_part(scenes, "test").images
    for recipe in (Recipe(view="resize", size=32), Recipe(view="crop", size=32)):
        equal = [image for image in images if image.shape == images[0].shape]
        assert len(equal) > 1
        model = small().eval()
        for found, image in zip(_predict_equal(model, equal, recipe, "cpu"), equal, strict=True):
            assert np.allclose(found, predict_image(model, image, recipe), atol=1e-5)


@pytest.mark.faults
def test_a_killed_training_goes_on_bit_for_bit(scenes, tmp_path):
    def start(folder, wait_for=None):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", SCRIPT, str(scenes), str(folder / "c.pt")]
        told = subprocess.PIPE if wait_for else subprocess.DEVNULL
        with subprocess.Popen(command, stdin=told, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if wait_for and int(line) >= wait_for:
                    time.sleep(np.random.default_rng(wait_for).uniform(0, 0.05))  # into an epoch or a write
                    process.kill()
                    break
        return process.returncode

    assert start(tmp_path / "whole") == 0
    for epoch in (2, 9, 17):
        assert start(tmp_path / "killed", wait_for=epoch) == -signal.SIGKILL
    assert start(tmp_path / "killed") == 0
    whole, killed = (torch.load(tmp_path / name / "final.pt", weights_only=True) for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def write_for_ever(path, said):
    number = (load_checkpoint(path) or {"number": 0})["number"]
    said.send(number)
    while True:
        number += 1
        save_checkpoint(path, {"number": number, "weights": torch.full((200_000,), float(number))})
        if said:
            said.send("written")
            said = None


def test_a_checkpoint_is_whole_after_fifty_kills_while_writing(tmp_path):
    rng = np.random.default_rng(0)
    fork = multiprocessing.get_context("fork")  # torch is imported once, not fifty times
    reached = 0
    for number in range(50):
        heard, said = fork.Pipe(duplex=False)
        process = fork.Process(target=write_for_ever, args=(tmp_path / "c.pt", said))
        process.start()
        said.close()  # so that its death is heard, too
        assert heard.recv() == reached  # what was written is whole, and where the next one goes on
        if number % 2:  # every other one writes at least once, however slow it is
            assert heard.recv() == "written"
        time.sleep(rng.uniform(0, 0.03))
        process.kill()
        process.join()
        if state := load_checkpoint(tmp_path / "c.pt"):
            reached = state["number"]
            assert (state["weights"] == reached).all()
    assert reached >= 25


def test_training_stops_when_validation_stops_improving(scenes):
    train = load_part(scenes, "train")
    recipe = replace(RECIPE, epochs=30, lr=1e-9, patience=2)
    history = list(fit(small(), train, train, recipe, seed=1))
    assert history[-1]["epoch"] == history[-1]["best_epoch"] + 2 < 30


def test_the_average_of_the_weights_is_what_is_kept(scenes):
    train = load_part(scenes, "train")
    plain, averaged = small(), small()
    recipe = replace(RECIPE, epochs=1)
    list(fit(plain, train, train, recipe, seed=1))
    start = [p.detach().clone() for p in small().parameters()]
    list(fit(averaged, train, train, replace(recipe, ema=0.9), seed=1))
    moved = [
        sum((a - b).abs().sum() for a, b in zip(net.parameters(), start, strict=True)) for net in (plain, averaged)
    ]
    assert 0 < moved[1] < moved[0]


def test_steps_are_clipped_and_accumulated(scenes):
    train = load_part(scenes, "train")
    norms = []

    def watch(optimizer, *_):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.nn.utils.get_total_norm(gradients).item())

    hook = register_optimizer_step_pre_hook(watch)
    try:
        list(fit(small(), train, train, replace(RECIPE, epochs=1, batch_size=2, clip=1e-3, accumulate=3), seed=1))
    finally:
        hook.remove()
    assert len(norms) == 2  # nine images: four batches of two, three and one of them a step
    assert max(norms) == pytest.approx(1e-3, rel=1e-4)


@pytest.mark.parametrize("shape", [(30, 50), (64, 70), (150, 90)])
def test_tiles_of_a_local_network_equal_the_whole(shape):
    torch.manual_seed(0)
    local = torch.nn.Conv2d(1, 1, 1)
    image = torch.rand(1, 1, *shape)
    with torch.no_grad():
        assert torch.allclose(tiled(local, image, tile=64, overlap=16), local(image), atol=1e-6)


def test_tiles_leave_no_seam():
    """A network that answers every tile with another constant: the steps between pixels are those of the tapers."""
    answers = iter(range(100))
    image = torch.rand(1, 1, 150, 150)
    found = tiled(lambda part: torch.full_like(part, float(next(answers))), image, tile=64, overlap=16)
    assert found.diff(dim=-1).abs().max() < 0.1  # neighbours answer 1 apart, over 16 and more pixels
    assert found.diff(dim=-2).abs().max() < 0.4  # 4 apart


def test_the_best_epoch_is_kept(scenes):
    train, validation = load_part(scenes, "train"), load_part(scenes, "val")
    history = list(fit(small(), train, validation, RECIPE, seed=1))
    best = max(history, key=lambda metrics: metrics["val_iou"])
    assert history[-1]["best_iou"] == best["val_iou"]
    assert history[-1]["best_epoch"] == best["epoch"]


def test_a_loss_that_is_not_finite_stops_with_the_step(scenes, tmp_path):
    model = small()
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    train = load_part(scenes, "train")
    with pytest.raises(TrainingError, match="step 1 of epoch 1"):
        list(fit(model, train, train, RECIPE, seed=1, checkpoint=tmp_path / "c.pt"))
    assert not (tmp_path / "c.pt").exists()


def test_a_damaged_checkpoint_is_named(scenes, tmp_path):
    (tmp_path / "c.pt").write_bytes(b"half")
    train = load_part(scenes, "train")
    with pytest.raises(DataError, match=r"c\.pt is damaged"):
        next(fit(small(), train, train, RECIPE, seed=1, checkpoint=tmp_path / "c.pt"))


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path):
    save_checkpoint(tmp_path / "c.pt", {"epoch": 1})
    with pytest.raises((TypeError, AttributeError, OSError)):
        save_checkpoint(tmp_path / "c.pt", {"epoch": (lambda: 1)})
    assert load_checkpoint(tmp_path / "c.pt") == {"schema": 1, "epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.parametrize("view", ["crop", "resize"])
def test_scores_have_the_images_own_size(scenes, view):
    data = load_part(scenes, "test")
    recipe = Recipe(view=view, size=32)
    for scores, image in zip(predict(small(), data, recipe), data.images, strict=True):
        assert scores.shape == image.shape
        assert 0 <= scores.min() <= scores.max() <= 1


@pytest.mark.parametrize("name", list(LOSSES))
def test_losses_are_smaller_for_better_predictions(name):
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, 2:4, 2:4] = 1
    logits = (2 * mask - 1) * 4
    assert LOSSES[name](logits, mask) < LOSSES[name](torch.zeros_like(logits), mask) < LOSSES[name](-logits, mask)


def test_every_loss_can_be_named_in_a_recipe():
    assert set(LossName.__args__) == set(LOSSES)
