"""What a training occupies, where that is looked for."""

import pytest
import ray

from datransnet.errors import ParameterError
from pipeline.parallel import session
from pipeline.study.read_params import parse_params
from pipeline.study.resources import Resources
from tests.pipeline.conftest import tiny_params


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"gpus": 2}, "set processes: 2"),
        ({"processes": 2, "gpus": 1}, "set gpus: 2, or 0"),
        ({"processes": 2, "gpus": None}, "set gpus: 2, or 0"),
    ],
)
def test_gpus_without_a_process_each_are_told(resources, words):
    with pytest.raises(ParameterError, match=words):
        parse_params(tiny_params() | {"resources": resources}, "tiny")


def test_a_trial_of_several_seeds_is_one_process():
    content = tiny_params() | {"resources": {"processes": 2}}
    content["tune"]["seeds"] = 2
    with pytest.raises(ParameterError, match="set one to 1"):
        parse_params(content, "tiny")


def test_hours_of_gpus_need_gpus():
    content = tiny_params()
    content["tune"]["gpu_hours"] = 1.0
    with pytest.raises(ParameterError, match="these hours never end"):
        parse_params(content, "tiny")
    assert parse_params(content | {"resources": {"gpus": 0.5}}, "tiny").tune.limited


def test_processes_have_cores_and_gpus_each():
    resources = Resources(processes=2, cpus=3, gpus=2)
    assert (resources.cores, resources.share, resources.device) == (6, 2, "cuda")


def test_one_node_must_hold_a_training(monkeypatch):
    nodes = [{"CPU": 32.0}, {"CPU": 2.0, "GPU": 8.0}]
    monkeypatch.setattr(ray, "nodes", lambda: [{"Resources": node} for node in nodes])
    session._await_node(Resources(cpus=2, gpus=1), 0)
    with pytest.raises(ParameterError, match=r"4 CPUs and 1 GPUs of one node.* 2 CPUs and 8 GPUs; 32 CPUs and 0 GPUs"):
        session._await_node(Resources(cpus=4, gpus=1), 0)
