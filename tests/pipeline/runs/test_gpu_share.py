"""What share of a GPU a training is given; the probe itself needs one."""

import pytest
import torch
import yaml

from datransnet.models import create_model
from pipeline.runs.gpu_share import largest, peak_of, share_of, with_share
from pipeline.study.read_params import parse_params
from pipeline.study.study import Study
from tests.pipeline.conftest import tiny_params


def test_the_largest_network_batch_and_size_of_the_space_are_measured():
    params = tiny_params()
    params["tune"]["space"] |= {
        "model.width": {"low": 4, "high": 16, "integer": True},
        "recipe.batch_size": {"choice": [2, 16]},
        "recipe.size": {"choice": [32, 48]},
    }
    networks, batch, size = largest(parse_params(params, "tiny"))
    assert (batch, size) == (16, 48)
    assert [(network.get("dilations"), network["width"]) for network in networks] == [
        (None, 4),
        ([1], 16),
        ([1, 2], 16),
    ]
    with torch.device("meta"):
        assert len([create_model(**network) for network in networks]) == 3


@pytest.mark.parametrize("gibibytes", [0.1, 1, 3, 7, 20, 79])
def test_what_shares_a_gpu_fits_on_it(gibibytes):
    peak, total = int(gibibytes * 2**30), 80 * 2**30
    together = int(1 / share_of(peak, total))
    assert together >= 1
    assert together == 1 or together * peak < total


def test_an_open_share_is_the_cpu_where_there_is_no_gpu(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump(tiny_params() | {"resources": {"gpus": None}}), encoding="utf-8"
    )
    study = with_share(Study(tmp_path))
    assert (study.params.resources.gpus, study.params.resources.device) == (0.0, "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_probe_sees_what_a_training_takes():
    small, total = peak_of([{"name": "datransnet", "image_size": 64, "width": 4}], 2, 64)
    large, _ = peak_of([{"name": "datransnet", "image_size": 256, "width": 16}], 8, 256)
    assert 0 < small < large < total
