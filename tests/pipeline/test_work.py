"""Work without a stage: any number of workers, here or on a machine that shares nothing, leave what a stage would."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.pipeline.conftest import StudyFolder, tiny_params, wait_for
from tests.pipeline.test_study import records

pytestmark = pytest.mark.study
AFTER = ("tune", "train", "ablate", "evaluate", "report")


@pytest.fixture
def split(reference, tmp_path):
    """A study whose data are split and that has trained nothing."""
    return reference["tune"].copy(tmp_path / "study")


def weights(study):
    return {path.parent.name: path.stat().st_mtime_ns for path in (study.folder / "runs").glob("*/weights.safetensors")}


def same_results(one, other):
    """Whether two studies handed on the same: trials, runs and tables."""
    assert one.searches() == other.searches()
    for name in ("train", "ablate"):
        assert (one.folder / f"results/{name}.json").read_bytes() == (
            other.folder / f"results/{name}.json"
        ).read_bytes()
    tables = sorted(path.name for path in (other.folder / "reports/tables").glob("*.csv"))
    for name in tables:
        if name not in ("cost.csv", "planning.csv"):  # they tell how long it took
            found = [(each.folder / "reports/tables" / name).read_text(encoding="utf-8") for each in (one, other)]
            assert found[0] == found[1], name


def test_two_workers_do_what_the_stages_do(split, reference):
    planned = split.run("plan")
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"^4 tasks, \d+ epochs", planned.stdout, re.MULTILINE), planned.stdout
    workers = [split.start("work") for _ in range(2)]
    told = [worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], told
    assert "Nothing is lacking" in split.run("plan").stdout
    before = weights(split)
    assert before
    split.succeed(*AFTER)
    assert weights(split) == before  # the stages found everything trained
    same_results(split, reference["whole"])


@pytest.mark.faults
def test_workers_that_are_killed_lose_nothing(split, reference):
    for goal in (2, 6, 12):

        def epochs(goal=goal):
            return sum(len(record["history"]) for record in records(split).values()) >= goal

        worker = split.start("work")
        wait_for(epochs, worker, "the worker ended before it was killed")
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    split.succeed("work")
    split.succeed(*AFTER)
    same_results(split, reference["whole"])


def test_a_worker_ends_between_two_epochs_before_its_time_is_over(split):
    done = split.run("work", "--minutes", "0")
    assert done.returncode == 75, done.stderr
    assert "0 trained" in done.stdout
    assert all(record["status"] in ("interrupted", "done", "pruned") for record in records(split).values())


def test_what_fails_is_told_and_does_not_stop_the_rest(split):
    planned = split.run("plan").stdout
    key = re.findall(r"^([0-9a-f]{16}) ", planned, re.MULTILINE)[0]
    damaged = split.folder / "runs" / key / "checkpoint.pt"
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_bytes(b"half")
    done = split.run("work")
    assert done.returncode == 1
    assert "1 failed; the same command tries them again" in done.stderr
    ended = [record["status"] for name, record in records(split).items() if name != key]
    assert len(ended) == 3
    assert records(split)[key]["status"] == "failed"


@pytest.mark.parametrize("changes", [{"wall_hours": 1.0}, {"objectives": ["iou", "parameters"], "scheduler": "none"}])
def test_what_only_the_stage_can_measure_is_left_to_it(reference, tmp_path, changes):
    study = reference["tune"].copy(tmp_path / "study")
    content = tiny_params()
    content["tune"] |= changes
    if "objectives" in changes:
        del content["tune"]["grace"], content["tune"]["reduction"]
    study.write(content)
    done = study.run("work")
    assert (done.returncode, "measured by the stage itself" in done.stderr) == (2, True)


# A machine that shares nothing


LIBRARY = """
import runpy
import sys

for name in ("ruamel", "yaml", "pandas", "ray", "optuna", "mlflow", "dvc", "matplotlib"):
    sys.modules[name] = None  # as if it were not installed
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def pack(study, out, *options):
    done = study.run("pack", str(out), *options)
    assert done.returncode == 0, done.stderr
    return sorted(out.glob("*.tar"))


def work_there(parts, folder, *options, workers=1):
    """Unpack in an empty folder and work there, without the study's packages.

    ``DATRANSNET_ELSEWHERE`` may name another environment's Python, such as that of ``make test-oldest``.
    """
    folder.mkdir()
    for part in parts:
        subprocess.run(["tar", "-xf", part], cwd=folder, check=True)
    started = [
        subprocess.Popen(
            [os.environ.get("DATRANSNET_ELSEWHERE", sys.executable), "-c", LIBRARY, "work.py", *options],
            cwd=folder,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(workers)
    ]
    told = [worker.communicate() for worker in started]
    assert [worker.returncode for worker in started] == [0] * workers, told
    return [said for said, _ in told]


@pytest.mark.faults
def test_a_study_that_was_trained_elsewhere_is_the_same(split, reference, tmp_path):
    for round_ in range(6):
        planned = split.run("plan")
        if "Nothing is lacking" in planned.stdout:
            break
        said = work_there(pack(split, tmp_path / f"pack{round_}"), tmp_path / f"there{round_}", workers=2)
        assert all("0 failed, 0 left" in each for each in said)
        done = split.run("unpack", str(tmp_path / f"there{round_}"))
        assert done.returncode == 0, done.stderr
    else:
        pytest.fail("the study never ended")
    before = weights(split)
    split.succeed(*AFTER)
    assert weights(split) == before
    same_results(split, reference["whole"])


@pytest.mark.faults
def test_what_a_search_of_one_trial_chooses_is_packed_with_it(split, tmp_path):
    content = tiny_params()
    content["tune"] |= {"trials": 1}
    split.write(content)
    work_there(pack(split, tmp_path / "pack"), tmp_path / "there")
    done = split.run("unpack", str(tmp_path / "there"))
    assert done.returncode == 0, done.stderr
    assert "Nothing is lacking" in split.run("plan").stdout
    before = weights(split)
    split.succeed(*AFTER)
    assert weights(split) == before


def test_parts_are_no_larger_than_asked_for_and_a_started_run_goes_on(split, tmp_path):
    worker = split.start("work")
    wait_for(lambda: any(record["history"] for record in records(split).values()), worker, "nothing was trained")
    worker.send_signal(signal.SIGTERM)
    worker.wait()
    split.wait_until_alone()
    begun = {key: len(record["history"]) for key, record in records(split).items()}
    size = 0.1 + 1.1 * max(path.stat().st_size for path in split.folder.glob("runs/*/checkpoint.pt")) / 2**20
    parts = pack(split, tmp_path / "pack", "--size", str(size))
    assert len(parts) > 1
    assert all(part.stat().st_size <= size * 2**20 for part in parts)
    work_there(parts, tmp_path / "there")
    done = split.run("unpack", str(tmp_path / "there/runs"))
    assert done.returncode == 0, done.stderr
    after = {key: len(record["history"]) for key, record in records(split).items()}
    assert all(after[key] >= number for key, number in begun.items())
    again = split.run("unpack", str(tmp_path / "there"))
    assert "0 of" in again.stdout


def test_runs_of_other_code_and_damaged_ones_are_refused(split, tmp_path):
    work_there(pack(split, tmp_path / "pack"), tmp_path / "there")
    path = next((tmp_path / "there/runs").glob("*/record.json"))
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"run": content["run"] | {"seed": 1}}), encoding="utf-8")
    done = split.run("unpack", str(tmp_path / "there"))
    assert (done.returncode, "not the run that its name says" in done.stderr) == (3, True)
    path.write_text("{", encoding="utf-8")
    done = split.run("unpack", str(tmp_path / "there"))
    assert (done.returncode, "is damaged" in done.stderr) == (3, True)
    shutil.rmtree(tmp_path / "there/runs")
    done = split.run("unpack", str(tmp_path / "there"))
    assert (done.returncode, "There are no runs" in done.stderr) == (3, True)


def test_a_packed_list_needs_all_its_parts_and_says_what_is_left(split, tmp_path):
    parts = pack(split, tmp_path / "pack", "--size", "0.5")
    (tmp_path / "there").mkdir()
    for part in parts:
        subprocess.run(["tar", "-xf", part], cwd=tmp_path / "there", check=True)
    command = [sys.executable, "work.py", "--minutes", "0"]
    done = subprocess.run(command, cwd=tmp_path / "there", capture_output=True, text=True)
    assert (done.returncode, "0 trained, 0 failed, 4 left" in done.stdout) == (75, True), done.stderr
    (tmp_path / "there/tasks.json").unlink()
    done = subprocess.run(command, cwd=tmp_path / "there", capture_output=True, text=True)
    assert (done.returncode, "unpack all parts" in done.stderr) == (3, True)
    assert StudyFolder(split.folder).run("pack", str(tmp_path / "pack")).returncode == 2
