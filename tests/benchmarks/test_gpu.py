"""The measurements of an accelerator, rehearsed on a CPU."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.gpu import Bench, attempt, fastest, measurements


def run(out, size=32):
    command = ["-m", "benchmarks.gpu", "--device", "cpu", "--networks", "acm", "--out", out]
    return subprocess.run(
        [sys.executable, *map(str, command), "--minutes", "0", "--size", str(size)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # two threads of which one is not let run wait for minutes
    )


def test_the_same_command_goes_on_and_tries_again_what_failed(tmp_path):
    out = tmp_path / "gpu.json"
    assert "the same command does the rest" in run(out).stdout
    first = json.loads(out.read_text())
    assert list(first["figures"]) == ["literal"]
    # As if two hours had been spent: everything is there, and one has failed.
    names = [name for name, _ in measurements(Bench("cpu", 32), ["acm"])]
    figures = {name: {"images_a_second": 1.0} for name in names} | first["figures"]
    figures["predict acm"] = {"failed": "OutOfMemoryError: of another process"}
    out.write_text(json.dumps(first | {"figures": figures}))
    assert run(out).returncode == 0
    second = json.loads(out.read_text())["figures"]
    assert second.pop("predict acm")["images_a_second"] > 0
    assert second == {name: figures[name] for name in second}
    refused = run(out, size=64)
    assert refused.returncode == 1
    assert "size 32, not 64" in refused.stderr


@pytest.mark.parametrize("error", [RuntimeError(), MemoryError("all of it\nand more"), KeyError("x")])
def test_what_cannot_be_measured_is_told_in_one_line(error):
    def measure():
        raise error

    told = attempt(measure)["failed"]
    assert told.startswith(type(error).__name__)
    assert "\n" not in told


def test_the_fastest_switches_are_those_of_the_most_images_a_second():
    figures = {
        "train acm batch 4 fp32": {"images_a_second": 3.0},
        "train acm batch 4 bf16 channels_last": {"images_a_second": 5.0},
        "train acm batch 4 bf16": {"failed": "no"},
        "predict acm": {"images_a_second": 9.0},
    }
    assert fastest(figures) == {"acm batch 4": "bf16 channels_last"}
