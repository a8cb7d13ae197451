"""One training by several processes: the same as alone, and nobody is left behind."""

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datransnet.data.manifest import Manifest
from datransnet.engine.distributed import together
from datransnet.errors import DATransNetError, LostError, TrainingError
from pipeline.runs.execute import Job, execute, load_trained
from pipeline.runs.plan import plan
from pipeline.study.read_params import parse_params
from pipeline.study.seat import Seat
from tests.datransnet.foreign import write_classes
from tests.pipeline.conftest import StudyFolder, tiny_params


@pytest.fixture
def job(scenes, tmp_path):
    content = tiny_params()
    content["recipe"] |= {"epochs": 3, "batch_size": 6}  # nine images: a batch of six, and one of three
    content["recipe"] |= {"loss": "soft_iou_bce", "lr": 1e-4}  # Adam magnifies what rounding leaves of no gradient
    params, manifest = parse_params(content, "tiny"), Manifest.read(scenes / "manifest.json")
    run = plan(params, manifest, params.model.arguments(), params.recipe, 0)
    return Job(run, "datransnet", "full", 1, scenes, tmp_path / "two", Seat(processes=2))


@pytest.fixture(params=["resunet", "mshnet", "external"])
def other_job(job, request, tmp_path):
    """A training of another network: with nothing special, with side outputs, and with parameters that nothing uses."""
    recipe = replace(job.run.recipe, epochs=1, normalise="dataset")
    model = {"name": request.param}
    if request.param == "external":
        source = write_classes(tmp_path / "theirs")
        output = {"kind": "classes", "main": "seg", "sides": False}
        model |= {"source": str(source), "call": "model.net:build", "output": output}
    return replace(job, run=replace(job.run, model=model, recipe=recipe))


@pytest.mark.parametrize("side_weight", [0.0, 1.0])
def test_two_processes_train_any_network_as_one_does(other_job, tmp_path, side_weight):
    job = replace(other_job, run=replace(other_job.run, recipe=replace(other_job.run.recipe, side_weight=side_weight)))
    alone = replace(job, runs=tmp_path / "one", seat=Seat())
    assert losses(execute(job)) == pytest.approx(losses(execute(alone)), rel=1e-4)


def losses(epochs):
    return [epoch["loss"] for epoch in epochs]


def test_two_processes_train_what_one_does(job, tmp_path):
    alone = replace(job, runs=tmp_path / "one", seat=Seat())
    expected = losses(execute(alone))
    cut_off = execute(job)
    assert next(cut_off)["loss"] == pytest.approx(expected[0], rel=1e-5)
    assert len(multiprocessing.active_children()) == 1
    cut_off.close()  # as a scheduler stops a trial
    assert not multiprocessing.active_children()
    assert job.folder.read().status == "pruned"
    assert losses(execute(job)) == pytest.approx(expected, rel=1e-5)  # goes on from its checkpoint, in the same process
    assert not multiprocessing.active_children()
    image = torch.rand(1, 1, 40, 40)
    with torch.no_grad():
        logits = [load_trained(job.run, found.folder.weights).eval()(image) for found in (alone, job)]
    assert torch.allclose(*logits, atol=5e-4)


def test_a_process_that_dies_is_told(job):
    epochs = execute(job)
    next(epochs)
    (other,) = multiprocessing.active_children()
    os.kill(other.pid, signal.SIGKILL)
    with pytest.raises(LostError, match="SIGKILL"):
        list(epochs)
    assert job.folder.read().status == "interrupted"  # nothing is wrong with the run: Ray starts it again
    assert not multiprocessing.active_children()


def fail(folder: Path, device: str) -> None:
    raise ValueError(f"no room for {folder.name} on {device}")


def test_a_process_that_fails_says_why(tmp_path):
    told = pytest.raises(DATransNetError, match="ValueError: no room for x on cpu")
    with told as caught, together(2, "cpu", fail, (tmp_path / "x",)):
        torch.distributed.barrier()
    assert "in fail" in str(caught.value.__cause__)  # its traceback
    assert not torch.distributed.is_initialized()


def run_out_of_memory(device: str) -> None:
    raise torch.OutOfMemoryError("no room")


def test_a_process_without_memory_makes_the_point_infeasible():
    with pytest.raises(TrainingError, match="Memory does not suffice"), together(2, "cpu", run_out_of_memory):
        torch.distributed.barrier()


@pytest.mark.study
def test_a_trial_may_be_two_processes(tmp_path):
    content = tiny_params()
    content["tune"] |= {"trials": 2, "epochs": 2, "points": []}
    content["resources"] = {"processes": 2}
    sweep = StudyFolder(tmp_path / "study", content)
    sweep.succeed("fetch", "split", "tune")
    trials = sweep.tuned()["trials"]
    assert [(trial["status"], trial["epochs"]) for trial in trials] == [("done", 2)] * 2
    sweep.wait_until_alone()
